"""Train or distil any retriever, prove that it is better, and serve it from an index that behaves like a database.

The public names below are imported when they are first used, so that `import retr` loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from retr.retrieval.version import VERSION as __version__

if TYPE_CHECKING:
    from retr.encoders import load_encoder, load_scorer
    from retr.index.collection import Collection
    from retr.index.dense.settings import DenseSettings
    from retr.index.settings import CollectionSettings, SearchSettings, WriteSettings
    from retr.index.writing.creation import GivenVectors
    from retr.opening import create, open
    from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound, RetrError
    from retr.retrieval.pictures import picture_document
    from retr.retrieval.records import Document, Hit, Query


__all__ = [
    "BadInput",
    "Collection",
    "CollectionSettings",
    "Damaged",
    "DenseSettings",
    "Document",
    "GivenVectors",
    "Hit",
    "Mismatch",
    "NotFound",
    "Query",
    "RetrError",
    "SearchSettings",
    "WriteSettings",
    "__version__",
    "create",
    "load_encoder",
    "load_scorer",
    "open",
    "picture_document",
]

_HOMES = {
    "BadInput": "retr.retrieval.errors",
    "Collection": "retr.index.collection",
    "CollectionSettings": "retr.index.settings",
    "Damaged": "retr.retrieval.errors",
    "DenseSettings": "retr.index.dense.settings",
    "Document": "retr.retrieval.records",
    "GivenVectors": "retr.index.writing.creation",
    "Hit": "retr.retrieval.records",
    "Mismatch": "retr.retrieval.errors",
    "NotFound": "retr.retrieval.errors",
    "Query": "retr.retrieval.records",
    "RetrError": "retr.retrieval.errors",
    "SearchSettings": "retr.index.settings",
    "WriteSettings": "retr.index.settings",
    "create": "retr.opening",
    "load_encoder": "retr.encoders",
    "load_scorer": "retr.encoders",
    "open": "retr.opening",
    "picture_document": "retr.retrieval.pictures",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'retr' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
