"""The words and the pure verbs of retrieval: records, protocols, reading, chunking, filters, fusion, metrics.

Imports numpy and duckdb at most; never torch, faiss, or another folder of this project.
"""
