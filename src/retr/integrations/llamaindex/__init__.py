"""retr in LlamaIndex: a vector store, a retriever, an embedding and a node postprocessor.

Written for llama-index-core 0.14; the classes are its own abstractions, so importing this imports llama_index.
"""

from retr.retrieval.errors import missing_package

try:
    import llama_index.core as _  # noqa: F401
except ModuleNotFoundError:
    raise missing_package("llama-index-core", needed_for="retr.integrations.llamaindex", extra="llamaindex") from None

from retr.integrations.llamaindex.embedding import RetrEmbedding
from retr.integrations.llamaindex.reranker import RetrReranker
from retr.integrations.llamaindex.retriever import RetrRetriever
from retr.integrations.llamaindex.store import RetrVectorStore

__all__ = ["RetrEmbedding", "RetrReranker", "RetrRetriever", "RetrVectorStore"]
