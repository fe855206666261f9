"""Vectors, postings and documents on disk: a folder that behaves like a database.

`KINDS` maps the name of an index kind to its class. Nothing heavy is imported here.
"""

KINDS: dict[str, str] = {
    "exact": "retr.index.exact:ExactIndex",
    "flat": "retr.index.dense:FlatIndex",
}
