"""A teacher asked once: its scores or vectors by id, kept in Parquet, and put into the batches that a student sees."""
