"""What a collection is kept in: the narrow protocol that an adapter of a database fulfils.

Validation, the syntax tree of filters, cutting, encoding, the weights of words and fusion stand above it; an adapter
translates. Scores are higher where better, dense ones inner products; equal scores are ordered by row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats
from retr.retrieval.filters import Filter
from retr.retrieval.records import Document
from retr.retrieval.store_words import WordStatistics

MAX_PASSAGES = 1 << 20
"""Passages that one document may have: a passage's row is its document's number times this, and its ordinal."""


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """One generation of a collection: what it holds, and what it was made with, as JSON values.

    Generations rise with every write. `length` counts the terms of all passages; `index` names the kind of index over
    the vectors, empty where every one is compared. `encoder` gives a vector a passage and `late` one a token; either
    may be missing.
    """

    generation: int = 0
    documents: int = 0
    passages: int = 0
    length: int = 0
    created: str = ""
    encoder: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    index: str = ""
    late: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CodedTokens:
    """One passage's token vectors as bytes, which the codec with this key can read.

    `lists` are the lists that the passage is found by, rising: the centroids of its tokens. They are given to a store,
    not asked of it; a codec without centroids has none.
    """

    codec: str
    data: bytes
    lists: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class CodecUse:
    """How much is coded by a codec: passages, and bytes of their tokens."""

    passages: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class StoredDocument:
    """One document as it is kept: `spans` are its passages' (start, end), `vectors` theirs, float32 [passages, dim].

    `tokens` are those of each passage. `text_hash` covers what is encoded and `record_hash` everything, 16 bytes each,
    so that what has not changed is left alone.
    """

    document: Document
    spans: Sequence[tuple[int, int]]
    text_hash: bytes
    record_hash: bytes
    vectors: Floats | None = None
    tokens: Sequence[CodedTokens] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DenseQuery:
    """The passages nearest to a vector, float32 [dim]; `exact` compares every one."""

    vector: Floats
    exact: bool = False


@dataclass(frozen=True, slots=True)
class WordsQuery:
    """The passages that hold a text's terms, by BM25; `terms` says how often each comes in the text.

    `statistics` weigh the terms where those are not of the store that is asked, but of more than it holds.
    """

    text: str
    terms: Mapping[str, int]
    statistics: WordStatistics | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TokensQuery:
    """The passages that reach most by one codec's lists: for each token of the query its heaviest list, summed up.

    One entry for each token and each list near it: `tokens` and `lists` int64 [entries], `weights` float32 [entries].
    """

    codec: str
    tokens: NDArray[np.int64]
    lists: NDArray[np.int64]
    weights: Floats


StoreQuery = DenseQuery | WordsQuery | TokensQuery


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Passages, best first: int64 rows, the int64 numbers of their documents, float32 scores."""

    rows: NDArray[np.int64]
    documents: NDArray[np.int64]
    scores: Floats


class StoreSnapshot(Protocol):
    """One generation, to be read. Documents have a number; where `ordered`, it rises as they were written."""

    @property
    def ordered(self) -> bool:
        """Whether documents come in the order they were written; else only those of one shard do."""
        ...

    @property
    def facts(self) -> StoreFacts:
        """What it holds."""
        ...

    def numbers_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of the documents that have one of these ids."""
        ...

    def ids_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """The ids of documents, by number."""
        ...

    def ids(self, where: Filter | None = None) -> Iterator[tuple[int, str]]:
        """(number, id) of the documents for which the filter holds, by number."""
        ...

    def count(self, where: Filter | None = None) -> int:
        """For how many documents the filter holds."""
        ...

    def get(self, numbers: Iterable[int]) -> dict[int, StoredDocument]:
        """Documents by number, without their vectors."""
        ...

    def hashes(self, numbers: Iterable[int]) -> dict[int, tuple[bytes, bytes]]:
        """(text hash, record hash) of documents, by number."""
        ...

    def vectors(self, rows: NDArray[np.int64]) -> Floats:
        """The vectors of rows, float32 [rows, dim], in the order given."""
        ...

    def codecs(self) -> dict[str, CodecUse]:
        """The codecs of tokens by key, in the order they came."""
        ...

    def codec(self, key: str) -> bytes:
        """What was kept as this codec. Damaged where there is none of the key."""
        ...

    def tokens(self, rows: NDArray[np.int64]) -> list[CodedTokens]:
        """The tokens of rows, in the order given, without their lists."""
        ...

    def rows(self, most: int, where: Filter | None = None, codec: str | None = None) -> NDArray[np.int64]:
        """The first rows of documents for which the filter holds, rising, at most `most`; with `codec`, those coded so.

        int64 [rows].
        """
        ...

    def search(self, query: StoreQuery, k: int, where: Filter | None = None) -> Found:
        """The k best passages of documents for which the filter holds; fewer only where fewer match."""
        ...

    def explain(self, query: WordsQuery, row: int) -> list[dict[str, Any]]:
        """What each term gave to the row's score."""
        ...

    def plan(self, query: StoreQuery, where: Filter | None = None) -> str:
        """How `search` goes about it."""
        ...


class CountsWords(StoreSnapshot, Protocol):
    """A generation that can be one of several: it counts words, and weighs them by what all of them count."""

    def statistics(self, query: WordsQuery) -> WordStatistics:
        """How often a query's terms come here."""
        ...


class VectorStore(StoreSnapshot, Protocol):
    """A collection in a database. Asked directly it reads what is newest, each call for itself."""

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        ...

    def exists(self) -> bool:
        """Whether there is a collection of this name."""
        ...

    def create(self, facts: StoreFacts) -> None:
        """Make the collection, empty. BadInput where there is one of this name."""
        ...

    def snapshot(self, at_least: int = 0) -> AbstractContextManager[StoreSnapshot]:
        """The newest generation, the same for all that is read of it; waits until it is `at_least` this one."""
        ...

    def check_document(self, document: Document) -> None:
        """BadInput for a document that it cannot hold."""
        ...

    def keep_codec(self, key: str, data: bytes) -> None:
        """Keep a codec, before the first tokens that are coded by it. One that is there already is left alone."""
        ...

    def recode(self, tokens: Mapping[int, CodedTokens]) -> int:
        """Put other tokens in the place of those of rows; rows that are gone are left out. Gives the generation."""
        ...

    def upsert(self, documents: Sequence[StoredDocument], removed: Iterable[int] = ()) -> int:
        """Write documents in the place of those that have their ids, and remove some by number, all or nothing.

        Gives the new generation.
        """
        ...

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; says how many there were."""
        ...

    def bulk_load(self, documents: Iterable[StoredDocument]) -> int:
        """Fill a collection that is empty, with indexes made at the end; gives the generation."""
        ...

    def publish(self, name: str) -> int:
        """Give this collection another's name and place in one step, for all readers; gives the generation."""
        ...

    def drop(self) -> None:
        """Remove the collection, and all that it holds, for good."""
        ...

    def check(self) -> tuple[list[str], list[str]]:
        """What was checked and is sound, and what is not."""
        ...


def row_of(number: int, ordinal: int) -> int:
    """The row of a document's passage."""
    return number * MAX_PASSAGES + ordinal


def place_of(row: int) -> tuple[int, int]:
    """The document's number and the passage's ordinal of a row."""
    return divmod(row, MAX_PASSAGES)
