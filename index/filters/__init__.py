"""Filters over the metadata of documents, to the documents that pass."""
