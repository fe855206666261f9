"""A collection as LangChain's DocumentIndex (beta there): documents in and out by id, found by text."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.indexing import DeleteResponse, UpsertResponse
from langchain_core.indexing.base import DocumentIndex

from retr.index.settings import Mode
from retr.integrations.langchain.filters import LangChainFilter
from retr.integrations.langchain.store import DOCUMENTS, RetrVectorStore


class RetrDocumentIndex(DocumentIndex):
    """Over a `RetrVectorStore`."""

    store: RetrVectorStore
    k: int = DOCUMENTS
    mode: Mode = "hybrid"

    def upsert(self, items: Sequence[LangChainDocument], /, **kwargs: Any) -> UpsertResponse:
        """Add or replace documents. All succeed, or an error says which did not and why."""
        return UpsertResponse(succeeded=self.store.add_documents(items), failed=[])

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """Delete documents by id. ValueError without ids, as LangChain asks for."""
        if ids is None:
            raise ValueError("delete needs the ids of documents.")
        gone = self.store.shelf.known(ids)
        self.store.shelf.remove(gone)
        return DeleteResponse(num_deleted=len(gone), succeeded=gone, failed=[], num_failed=0)

    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[LangChainDocument]:
        """The documents with these ids, in the order given; unknown ids are left out."""
        return self.store.get_by_ids(ids)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: LangChainFilter = None,
    ) -> list[LangChainDocument]:
        """`k` and `filter` are for this call."""
        return self.store.similarity_search(query, self.k if k is None else k, filter=filter, mode=self.mode)
