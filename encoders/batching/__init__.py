"""Work of many callers done together: a bounded queue counted in tokens, and threads that take from it in batches."""
