"""FAISS, imported at its first use: it takes a quarter of a second, and much of an index folder is read without it."""

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np  # noqa: F401 - its own OpenBLAS, which knows the processor, is loaded before FAISS's is told

from retr.index.dense import libraries


@cache
def faiss() -> Any:
    """The module, untyped: its own stubs know a part of it only."""
    with libraries.told():
        return import_module("faiss")
