"""retr in LangChain: a vector store, retriever, embeddings, reranker and document index over an index folder.

Written for langchain-core 1.x; the classes are its own abstractions, so importing this imports langchain_core.
"""

from retr.retrieval.errors import missing_package

try:
    import langchain_core as _  # noqa: F401
except ModuleNotFoundError:
    raise missing_package("langchain-core", needed_for="retr.integrations.langchain", extra="langchain") from None

from retr.integrations.langchain.document_index import RetrDocumentIndex
from retr.integrations.langchain.embeddings import RetrEmbeddings
from retr.integrations.langchain.reranker import RetrReranker
from retr.integrations.langchain.retriever import RetrRetriever
from retr.integrations.langchain.store import RetrVectorStore

__all__ = ["RetrDocumentIndex", "RetrEmbeddings", "RetrReranker", "RetrRetriever", "RetrVectorStore"]
