"""A collection as Haystack's DocumentStore."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from haystack import default_from_dict, default_to_dict
from haystack.dataclasses import Document as HaystackDocument
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy

from retr.index.collection import Collection
from retr.index.settings import SearchSettings
from retr.index.writing.creation import GivenVectors
from retr.integrations.haystack.asynchronous import in_thread
from retr.integrations.haystack.documents import EMBEDDED, from_document, from_hits, to_document
from retr.integrations.haystack.filters import HaystackFilter, to_filter
from retr.integrations.haystack.metadata import MetadataMethods
from retr.integrations.shelf import WAIT_SECONDS, Shelf
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.filters import And, Filter
from retr.retrieval.records import Hit


class RetrDocumentStore(MetadataMethods):
    """Documents in an index folder.

    With `embedding_dim`, vectors come with the documents, as Haystack's embedders make them, and a document without
    one is found by its text alone. Without, `encoder` makes them from the text: None is the index's own, or the default
    one for a new index; with "none" documents are found by BM25 alone. Without a `path` the index is a temporary one.
    `return_embedding` is for what is found and filtered.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        encoder: str | None = None,
        embedding_dim: int | None = None,
        similarity: Literal["cosine", "dot"] = "cosine",
        return_embedding: bool = True,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._told = {
            "path": path,
            "encoder": encoder,
            "embedding_dim": embedding_dim,
            "similarity": similarity,
            "return_embedding": return_embedding,
            "wait_seconds": wait_seconds,
        }
        self._return_embedding = return_embedding
        given = None if embedding_dim is None else GivenVectors(embedding_dim, similarity)
        self.shelf = Shelf(path, encoder=given or encoder, wait_seconds=wait_seconds)
        facts = self.collection.manifest.encoder
        self._dim = facts.dim if facts is not None and facts.spec == "given" else None

    def to_dict(self) -> dict[str, Any]:
        """What it was made with."""
        return default_to_dict(self, **self._told)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """What `to_dict` told of."""
        store: Self = default_from_dict(cls, data)
        return store

    @property
    def collection(self) -> Collection:
        """The collection behind it, for all that Haystack has no word for: snapshots, filters, compaction."""
        return self.shelf.collection

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self.collection)

    def filter_documents(self, filters: HaystackFilter | None = None) -> list[HaystackDocument]:
        """The documents that pass, in the order they were written."""
        collection = self.collection
        found = collection.get(collection.ids(to_filter(filters, self.shelf)))
        return [from_document(document, return_embedding=self._return_embedding) for document in found]

    def write_documents(self, documents: list[HaystackDocument], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write documents; gives how many were written. NONE is FAIL.

        DuplicateDocumentError under FAIL when an id is known, before anything is written; ValueError for other things
        than documents.
        """
        if not isinstance(documents, list) or not all(isinstance(each, HaystackDocument) for each in documents):
            raise ValueError("write_documents needs a list of haystack Documents.")
        last = {document.id: document for document in documents}
        known = set(self.shelf.known(last))
        if policy == DuplicatePolicy.OVERWRITE:
            self._write(list(last.values()))
            return len(documents)
        if policy != DuplicatePolicy.SKIP and (known or len(last) < len(documents)):
            ids = [document.id for document in documents]
            twice = next(id for place, id in enumerate(ids) if id in known or id in ids[:place])
            raise DuplicateDocumentError(
                f"A document with the id {twice!r} is known already. Give policy=DuplicatePolicy.OVERWRITE or SKIP."
            )
        fresh = [document for id, document in last.items() if id not in known]
        self._write(fresh)
        return len(fresh)

    def _write(self, documents: Sequence[HaystackDocument]) -> None:
        if self._dim is None:
            self.shelf.write([to_document(document) for document in documents])
            return
        vectors = np.zeros((len(documents), self._dim), np.float32)
        vectors[:, 0] = 1.0  # Holds the place of a vector that is not there; such documents are filtered out.
        embedded = [self._embedded(document, self._dim) for document in documents]
        for row, document in enumerate(documents):
            if embedded[row]:
                vectors[row] = document.embedding
        pairs = zip(documents, embedded, strict=True)
        self.shelf.write([to_document(document, embedded=vector) for document, vector in pairs], vectors)

    @staticmethod
    def _embedded(document: HaystackDocument, dim: int) -> bool:
        if document.embedding is not None and len(document.embedding) != dim:
            raise Mismatch(
                f"The document {document.id!r} has an embedding of {len(document.embedding)} numbers; the others here "
                f"have {dim}. Embed it with the model of the others, or make a new store."
            )
        return document.embedding is not None and any(document.embedding)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents by id; ids that are not there are left alone."""
        self.shelf.remove(document_ids)

    def bm25_retrieval(
        self, query: str, filters: HaystackFilter | None = None, top_k: int = 10
    ) -> list[HaystackDocument]:
        """The best documents by BM25."""
        return self._by_text(query, "lexical", filters, top_k)

    def embedding_retrieval(
        self, query_embedding: list[float], filters: HaystackFilter | None = None, top_k: int = 10
    ) -> list[HaystackDocument]:
        """The documents nearest to a vector."""
        where = self._embedded_where(to_filter(filters, self.shelf))
        return self._found(self.shelf.by_vector(query_embedding, top_k, where))

    def hybrid_retrieval(
        self,
        query: str,
        query_embedding: list[float] | None = None,
        filters: HaystackFilter | None = None,
        top_k: int = 10,
    ) -> list[HaystackDocument]:
        """The best documents by both, their ranks fused; in an index of words alone, by words.

        Where vectors come with the documents, the query's must be given too.
        """
        if query_embedding is None:
            if self._dim is not None:
                raise BadInput("This store has no encoder; hybrid retrieval needs the query's embedding too.")
            return self._by_text(query, "hybrid", filters, top_k)
        where = to_filter(filters, self.shelf)
        near = self._embedded_where(where)
        return self._found(self.shelf.by_both(query, query_embedding, top_k, where=where, where_near=near))

    def _by_text(
        self, query: str, mode: Literal["lexical", "hybrid"], filters: HaystackFilter | None, k: int
    ) -> list[HaystackDocument]:
        settings = SearchSettings(mode=mode, where=to_filter(filters, self.shelf))
        return self._found(self.shelf.by_text(query, k, settings=settings))

    def _embedded_where(self, where: Filter | None) -> Filter | None:
        if self._dim is None:
            return where
        return EMBEDDED if where is None else And((EMBEDDED, where))

    def _found(self, hits: list[Hit]) -> list[HaystackDocument]:
        return from_hits(hits, return_embedding=self._return_embedding)

    count_documents_async = in_thread(count_documents)
    filter_documents_async = in_thread(filter_documents)
    write_documents_async = in_thread(write_documents)
    delete_documents_async = in_thread(delete_documents)
    bm25_retrieval_async = in_thread(bm25_retrieval)
    embedding_retrieval_async = in_thread(embedding_retrieval)
    hybrid_retrieval_async = in_thread(hybrid_retrieval)
