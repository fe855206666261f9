"""A collection as LangChain's VectorStore."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from langchain_core.documents import Document as LangChainDocument
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from retr.index.collection import Collection
from retr.index.settings import CollectionSettings, Mode, SearchSettings
from retr.integrations.langchain.documents import from_document, from_hit, to_documents
from retr.integrations.langchain.embeddings import RetrEmbeddings, encoder_of
from retr.integrations.langchain.filters import LangChainFilter, to_filter
from retr.integrations.shelf import WAIT_SECONDS, Shelf
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Hit

DOCUMENTS = 4
"""How many documents LangChain's stores give when nothing is said."""

CANDIDATES = 20


class RetrVectorStore(VectorStore):
    """Documents in an index folder, found by their vectors, by BM25, or by both.

    `embedding` is any LangChain embedder; None: the index's own encoder, or the default one for a new index. Without a
    `path` the index is a temporary one. `mode` is that of `similarity_search`: "dense", "lexical" or "hybrid".
    """

    def __init__(
        self,
        embedding: Embeddings | None = None,
        path: str | Path | None = None,
        *,
        mode: Mode = "dense",
        settings: CollectionSettings | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        ours = embedding is None or isinstance(embedding, RetrEmbeddings)
        self.shelf = Shelf(
            path,
            encoder=None if embedding is None else encoder_of(embedding),
            settings=settings or (None if ours else CollectionSettings(ChunkSettings(max_tokens=0))),
            wait_seconds=wait_seconds,
        )
        self._embeddings = embedding
        self._search = SearchSettings(mode=mode)

    @property
    def collection(self) -> Collection:
        """The collection behind it, for all that LangChain has no word for: snapshots, filters, compaction."""
        return self.shelf.collection

    @property
    def embeddings(self) -> Embeddings:
        """The embedder; for a store without one of LangChain's, the index's encoder as one."""
        if self._embeddings is None:
            self._embeddings = RetrEmbeddings(self.collection.encoder)
        return self._embeddings

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with these texts; `kwargs` are those of the class, such as `path`."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_documents(
        self, documents: Sequence[LangChainDocument], ids: list[str] | None = None, **kwargs: Any
    ) -> list[str]:
        """Add or replace documents; gives their ids. What is unchanged is not embedded again."""
        ours = to_documents(documents, ids)
        self.shelf.write(ours)
        return [document.id for document in ours]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents by id; ids that are not there are left alone. BadInput without ids."""
        if ids is None:
            raise BadInput("delete needs the ids of documents. To empty an index, remove its folder.")
        self.shelf.remove(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """The documents with these ids, in the order given; unknown ids are left out."""
        return [from_document(document) for document in self.collection.get(ids)]

    def similarity_search(self, query: str, k: int = DOCUMENTS, **kwargs: Any) -> list[LangChainDocument]:
        """The k best documents; `filter` is a mapping, a function of a document, or a filter of retr's; `mode` too."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = DOCUMENTS, *, filter: LangChainFilter = None, mode: Mode | None = None
    ) -> list[tuple[LangChainDocument, float]]:
        """With scores, higher is better: dense the cosine or inner product, lexical BM25, hybrid the fused ranks."""
        settings = SearchSettings(mode=mode or self._search.mode, where=to_filter(filter, self.shelf))
        return _scored(self.shelf.by_text(query, k, settings=settings))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = DOCUMENTS, *, filter: LangChainFilter = None, **kwargs: Any
    ) -> list[LangChainDocument]:
        """The k documents nearest to a vector."""
        return [from_hit(hit) for hit in self.shelf.by_vector(embedding, k, to_filter(filter, self.shelf))]

    def max_marginal_relevance_search(
        self, query: str, k: int = DOCUMENTS, fetch_k: int = CANDIDATES, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[LangChainDocument]:
        """k of the `fetch_k` nearest documents that answer the query and do not repeat each other."""
        vector = self.embeddings.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = DOCUMENTS,
        fetch_k: int = CANDIDATES,
        lambda_mult: float = 0.5,
        *,
        filter: LangChainFilter = None,
        **kwargs: Any,
    ) -> list[LangChainDocument]:
        """As above, for a vector."""
        where = to_filter(filter, self.shelf)
        hits = self.shelf.by_diversity(embedding, k, among=fetch_k, relevance=lambda_mult, where=where)
        return [from_hit(hit) for hit in hits]

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = DOCUMENTS, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """Dense, whatever the store's mode: only a cosine has a known range."""
        relevance = self._select_relevance_score_fn()
        found = self.similarity_search_with_score(query, k, **{**kwargs, "mode": "dense"})
        return [(document, relevance(score)) for document, score in found]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """A cosine to 0..1."""
        if self.collection.encoder.similarity != "cosine":
            raise BadInput("Relevance scores need an encoder that is compared by cosine; this one is by inner product.")
        return lambda cosine: min(max((1 + cosine) / 2, 0.0), 1.0)


def _scored(hits: Sequence[Hit]) -> list[tuple[LangChainDocument, float]]:
    return [(from_hit(hit), hit.score) for hit in hits]
