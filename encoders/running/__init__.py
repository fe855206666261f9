"""Running a model: sessions, batches, pooling, and which runtime takes a folder."""
