"""FAISS, imported at its first use: it takes a quarter of a second, and much of an index folder is read without it."""

from functools import cache
from importlib import import_module
from typing import Any


@cache
def faiss() -> Any:
    """The module, untyped: its own stubs know a part of it only."""
    return import_module("faiss")
