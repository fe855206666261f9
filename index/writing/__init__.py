"""Changing a collection: documents in and out, commits, merging, compaction."""
