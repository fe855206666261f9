"""What a store answers when it is asked directly: each call reads the newest generation, for itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats
from retr.retrieval.filters import Filter
from retr.retrieval.store import (
    CodecUse,
    CodedTokens,
    Found,
    StoredDocument,
    StoreFacts,
    StoreQuery,
    StoreSnapshot,
    WordsQuery,
)


class Direct(ABC):
    """The reading half of a `VectorStore`, out of its snapshots."""

    @abstractmethod
    def snapshot(self, at_least: int = 0) -> AbstractContextManager[StoreSnapshot]:
        """The newest generation, the same for all that is read of it."""

    @property
    def ordered(self) -> bool:
        """Whether documents come in the order they were written."""
        with self.snapshot() as snapshot:
            return snapshot.ordered

    @property
    def facts(self) -> StoreFacts:
        """What it holds now."""
        with self.snapshot() as snapshot:
            return snapshot.facts

    def numbers_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of the documents that have one of these ids."""
        with self.snapshot() as snapshot:
            return snapshot.numbers_of(ids)

    def ids_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """The ids of documents, by number."""
        with self.snapshot() as snapshot:
            return snapshot.ids_of(numbers)

    def ids(self, where: Filter | None = None) -> Iterator[tuple[int, str]]:
        """(number, id) of the documents for which the filter holds, by number."""
        with self.snapshot() as snapshot:
            return iter(list(snapshot.ids(where)))

    def count(self, where: Filter | None = None) -> int:
        """For how many documents the filter holds."""
        with self.snapshot() as snapshot:
            return snapshot.count(where)

    def get(self, numbers: Iterable[int]) -> dict[int, StoredDocument]:
        """Documents by number, without their vectors."""
        with self.snapshot() as snapshot:
            return snapshot.get(numbers)

    def hashes(self, numbers: Iterable[int]) -> dict[int, tuple[bytes, bytes]]:
        """(text hash, record hash) of documents, by number."""
        with self.snapshot() as snapshot:
            return snapshot.hashes(numbers)

    def vectors(self, rows: NDArray[np.int64]) -> Floats:
        """The vectors of rows, float32 [rows, dim], in the order given."""
        with self.snapshot() as snapshot:
            return snapshot.vectors(rows)

    def codecs(self) -> dict[str, CodecUse]:
        """The codecs of tokens by key, in the order they came."""
        with self.snapshot() as snapshot:
            return snapshot.codecs()

    def codec(self, key: str) -> bytes:
        """What was kept as this codec."""
        with self.snapshot() as snapshot:
            return snapshot.codec(key)

    def tokens(self, rows: NDArray[np.int64]) -> list[CodedTokens]:
        """The tokens of rows, in the order given, without their lists."""
        with self.snapshot() as snapshot:
            return snapshot.tokens(rows)

    def rows(self, most: int, where: Filter | None = None, codec: str | None = None) -> NDArray[np.int64]:
        """The first rows of documents for which the filter holds, rising; with `codec`, those coded so."""
        with self.snapshot() as snapshot:
            return snapshot.rows(most, where, codec)

    def search(self, query: StoreQuery, k: int, where: Filter | None = None) -> Found:
        """The k best passages of documents for which the filter holds; fewer only where fewer match."""
        with self.snapshot() as snapshot:
            return snapshot.search(query, k, where)

    def explain(self, query: WordsQuery, row: int) -> list[dict[str, Any]]:
        """What each term gave to the row's score."""
        with self.snapshot() as snapshot:
            return snapshot.explain(query, row)

    def plan(self, query: StoreQuery, where: Filter | None = None) -> str:
        """How `search` goes about it."""
        with self.snapshot() as snapshot:
            return snapshot.plan(query, where)
