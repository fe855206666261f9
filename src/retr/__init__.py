"""retr: train or distil any retriever, prove that it is better, and serve it from an index that behaves like a database."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retr.encoders import load_encoder, load_scorer
    from retr.index.collection import Collection
    from retr.index.opening import create, open
    from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound, RetrError
    from retr.retrieval.records import Document, Hit, Query

__version__ = "0.1.0"
