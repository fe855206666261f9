"""Haystack's retrievers over a RetrDocumentStore: by words, by a vector, by both."""

from typing import Any, Self

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document as HaystackDocument
from haystack.document_stores.types import FilterPolicy
from haystack.document_stores.types.filter_policy import apply_filter_policy

from retr.integrations.haystack.store import RetrDocumentStore
from retr.retrieval.errors import BadInput

Filters = dict[str, Any]


class _Retrieving:
    """What the three share: the store, the filters and how many documents are wanted."""

    def __init__(
        self,
        document_store: RetrDocumentStore,
        filters: Filters | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy | str = FilterPolicy.REPLACE,
    ) -> None:
        if not isinstance(document_store, RetrDocumentStore):
            raise BadInput(f"document_store must be a RetrDocumentStore; got {type(document_store).__name__}.")
        if top_k < 1:
            raise BadInput(f"top_k must be at least 1; got {top_k}.")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = FilterPolicy.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy

    def to_dict(self) -> dict[str, Any]:
        """What it was made with."""
        return default_to_dict(
            self,
            document_store=self.document_store,
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """What `to_dict` told of."""
        made: Self = default_from_dict(cls, data)
        return made

    def _asked(self, filters: Filters | None, top_k: int | None) -> tuple[Filters | None, int]:
        return apply_filter_policy(self.filter_policy, self.filters, filters), self.top_k if top_k is None else top_k


@component
class RetrBM25Retriever(_Retrieving):
    """Documents that share words with the query."""

    @component.output_types(documents=list[HaystackDocument])
    def run(self, query: str, filters: Filters | None = None, top_k: int | None = None) -> dict[str, Any]:
        """The best documents by BM25."""
        chosen, wanted = self._asked(filters, top_k)
        return {"documents": self.document_store.bm25_retrieval(query, chosen, wanted)}

    @component.output_types(documents=list[HaystackDocument])
    async def run_async(self, query: str, filters: Filters | None = None, top_k: int | None = None) -> dict[str, Any]:
        """As `run`."""
        chosen, wanted = self._asked(filters, top_k)
        return {"documents": await self.document_store.bm25_retrieval_async(query, chosen, wanted)}


@component
class RetrEmbeddingRetriever(_Retrieving):
    """Documents whose vectors are near the query's."""

    @component.output_types(documents=list[HaystackDocument])
    def run(
        self, query_embedding: list[float], filters: Filters | None = None, top_k: int | None = None
    ) -> dict[str, Any]:
        """The nearest documents."""
        chosen, wanted = self._asked(filters, top_k)
        return {"documents": self.document_store.embedding_retrieval(query_embedding, chosen, wanted)}

    @component.output_types(documents=list[HaystackDocument])
    async def run_async(
        self, query_embedding: list[float], filters: Filters | None = None, top_k: int | None = None
    ) -> dict[str, Any]:
        """As `run`."""
        chosen, wanted = self._asked(filters, top_k)
        return {"documents": await self.document_store.embedding_retrieval_async(query_embedding, chosen, wanted)}


@component
class RetrHybridRetriever(_Retrieving):
    """Both at once, their ranks fused; the vector is needed only by a store that does not encode."""

    @component.output_types(documents=list[HaystackDocument])
    def run(
        self,
        query: str,
        query_embedding: list[float] | None = None,
        filters: Filters | None = None,
        top_k: int | None = None,
    ) -> dict[str, Any]:
        """The best documents by words and vectors."""
        chosen, wanted = self._asked(filters, top_k)
        return {"documents": self.document_store.hybrid_retrieval(query, query_embedding, chosen, wanted)}

    @component.output_types(documents=list[HaystackDocument])
    async def run_async(
        self,
        query: str,
        query_embedding: list[float] | None = None,
        filters: Filters | None = None,
        top_k: int | None = None,
    ) -> dict[str, Any]:
        """As `run`."""
        chosen, wanted = self._asked(filters, top_k)
        return {"documents": await self.document_store.hybrid_retrieval_async(query, query_embedding, chosen, wanted)}
