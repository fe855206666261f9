"""retr in Haystack: a document store, retrievers, embedders and a ranker.

Written for haystack-ai 3.x; the classes are its own components, so importing this imports haystack.
"""

from retr.retrieval.errors import missing_package

try:
    import haystack as _  # noqa: F401
except ModuleNotFoundError:
    raise missing_package("haystack-ai", needed_for="retr.integrations.haystack", extra="haystack") from None

from retr.integrations.haystack.embedders import RetrDocumentEmbedder, RetrTextEmbedder
from retr.integrations.haystack.ranker import RetrRanker
from retr.integrations.haystack.retrievers import RetrBM25Retriever, RetrEmbeddingRetriever, RetrHybridRetriever
from retr.integrations.haystack.store import RetrDocumentStore

__all__ = [
    "RetrBM25Retriever",
    "RetrDocumentEmbedder",
    "RetrDocumentStore",
    "RetrEmbeddingRetriever",
    "RetrHybridRetriever",
    "RetrRanker",
    "RetrTextEmbedder",
]
