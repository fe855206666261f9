"""A collection as LlamaIndex's vector store."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from pydantic import PrivateAttr

from retr.index.collection import Collection
from retr.index.disk.manifest import holds_index
from retr.index.settings import SearchSettings
from retr.index.writing.creation import GivenVectors
from retr.integrations.llamaindex.filters import to_filter
from retr.integrations.llamaindex.nodes import from_document, from_hit, to_document
from retr.integrations.shelf import ID, WAIT_SECONDS, Shelf
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.filters import And, Field, Filter, In
from retr.retrieval.records import Hit

REF_DOC_ID = Field(("metadata", "ref_doc_id"))
PREFETCH = 4
"""How many times as many candidates as results MMR looks at, unless `mmr_prefetch_factor` says otherwise."""


class RetrVectorStore(BasePydanticVectorStore):
    """Nodes with their vectors and texts in an index folder.

    A new index is made with the first nodes, whose vectors tell its dimensions. Without a `path` it is a temporary one.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    path: str | None = None
    similarity: Literal["cosine", "dot"] = "cosine"
    wait_seconds: float = WAIT_SECONDS

    _shelf: Shelf | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Open the index, if there is one."""
        super().model_post_init(context)
        if self.path is not None and holds_index(Path(self.path)):
            self._shelf = Shelf(self.path, wait_seconds=self.wait_seconds)

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex serializes."""
        return "RetrVectorStore"

    @property
    def client(self) -> Collection | None:
        """The collection behind it; None before the first nodes of a new index."""
        return None if self._shelf is None else self._shelf.collection

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add or replace nodes that have their vectors; gives their ids. Mismatch for vectors of another length."""
        if not nodes:
            return []
        vectors = [node.get_embedding() for node in nodes]
        shelf = self._shelf or self._made(len(vectors[0]))
        facts = shelf.collection.manifest.encoder
        dim = 0 if facts is None else facts.dim
        for node, vector in zip(nodes, vectors, strict=True):
            if len(vector) != dim:
                raise Mismatch(f"The node {node.node_id!r} has a vector of {len(vector)} numbers; the index has {dim}.")
        shelf.write([to_document(node) for node in nodes], np.array(vectors, np.float32))
        return [node.node_id for node in nodes]

    def _made(self, dim: int) -> Shelf:
        encoder = GivenVectors(dim, self.similarity)
        self._shelf = Shelf(self.path, encoder=encoder, wait_seconds=self.wait_seconds)
        return self._shelf

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document."""
        self._remove(In(REF_DOC_ID, (ref_doc_id,)))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes that have one of the ids, if given, and pass the filters, if given."""
        if self._shelf is not None:
            self._remove(_both(to_filter(filters, self._shelf), ID, node_ids))

    def clear(self) -> None:
        """Delete every node; the index stays."""
        self._remove(None)

    def _remove(self, where: Filter | None) -> None:
        if self._shelf is not None:
            self._shelf.remove(self._shelf.collection.ids(where))

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """The nodes that have one of the ids, if given, and pass the filters, if given, without their vectors."""
        if self._shelf is None:
            return []
        collection = self._shelf.collection
        ids = collection.ids(_both(to_filter(filters, self._shelf), ID, node_ids))
        return [from_document(document) for document in collection.get(ids)]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes, by the query's mode: default, sparse, text_search, hybrid or mmr. BadInput for another."""
        search = MODES.get(query.mode)
        if search is None:
            known = ", ".join(mode.value for mode in MODES)
            raise BadInput(f"The query mode {query.mode.value!r} is not known here. Known: {known}.")
        if self._shelf is None:
            return VectorStoreQueryResult(nodes=[], similarities=[], ids=[])
        # LlamaIndex's own retriever gives an empty list of nodes where it means no restriction.
        where = _both(to_filter(query.filters, self._shelf), REF_DOC_ID, query.doc_ids or None)
        hits = search(self._shelf, query, _both(where, ID, query.node_ids or None), kwargs)
        return VectorStoreQueryResult(
            nodes=[from_hit(hit) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[hit.id for hit in hits],
        )

    # LlamaIndex's own twins of these hold up the event loop.

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As `add`, in a thread."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`, in a thread."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """As `delete_nodes`, in a thread."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    async def aclear(self) -> None:
        """As `clear`, in a thread."""
        await asyncio.to_thread(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As `get_nodes`, in a thread."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As `query`, in a thread."""
        return await asyncio.to_thread(self.query, query, **kwargs)


def _both(where: Filter | None, field: Field, values: Sequence[str] | None) -> Filter | None:
    """What passes and has one of the values there."""
    if values is None:
        return where
    listed = In(field, tuple(values))
    return listed if where is None else And((where, listed))


def _default(shelf: Shelf, query: VectorStoreQuery, where: Filter | None, given: dict[str, Any]) -> list[Hit]:
    return shelf.by_vector(_vector(query), query.similarity_top_k, where)


def _lexical(shelf: Shelf, query: VectorStoreQuery, where: Filter | None, given: dict[str, Any]) -> list[Hit]:
    wanted = query.similarity_top_k if query.sparse_top_k is None else query.sparse_top_k
    return shelf.by_text(_text(query), wanted, settings=SearchSettings(mode="lexical", where=where))


def _hybrid(shelf: Shelf, query: VectorStoreQuery, where: Filter | None, given: dict[str, Any]) -> list[Hit]:
    alpha = 0.5 if query.alpha is None else query.alpha
    wanted = query.similarity_top_k if query.hybrid_top_k is None else query.hybrid_top_k
    return shelf.by_both(_text(query), _vector(query), wanted, where=where, weights=(alpha, 1 - alpha))


def _diverse(shelf: Shelf, query: VectorStoreQuery, where: Filter | None, given: dict[str, Any]) -> list[Hit]:
    told = given.get("mmr_threshold", query.mmr_threshold)
    among = given.get("mmr_prefetch_k") or query.similarity_top_k * int(given.get("mmr_prefetch_factor") or PREFETCH)
    relevance = 0.5 if told is None else told
    return shelf.by_diversity(_vector(query), query.similarity_top_k, among=among, relevance=relevance, where=where)


def _vector(query: VectorStoreQuery) -> list[float]:
    if query.query_embedding is None:
        raise BadInput(f"The query mode {query.mode.value!r} needs query_embedding.")
    return query.query_embedding


def _text(query: VectorStoreQuery) -> str:
    if query.query_str is None:
        raise BadInput(f"The query mode {query.mode.value!r} needs query_str.")
    return query.query_str


MODES: dict[VectorStoreQueryMode, Callable[[Shelf, VectorStoreQuery, Filter | None, dict[str, Any]], list[Hit]]] = {
    VectorStoreQueryMode.DEFAULT: _default,
    VectorStoreQueryMode.SPARSE: _lexical,
    VectorStoreQueryMode.TEXT_SEARCH: _lexical,
    VectorStoreQueryMode.HYBRID: _hybrid,
    VectorStoreQueryMode.MMR: _diverse,
}
