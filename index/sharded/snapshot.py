"""One generation of every shard, read as one collection.

A document's number is that in its shard times the number of shards, and the shard. So numbers rise as documents are
written within a shard, and nearly so in the whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from heapq import merge
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from retr.index.sharded.servers import shard_of
from retr.index.sharded.spreading import Spread
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged
from retr.retrieval.filters import Filter
from retr.retrieval.store import (
    MAX_PASSAGES,
    CodecUse,
    CodedTokens,
    CountsWords,
    Found,
    StoredDocument,
    StoreFacts,
    StoreQuery,
    WordsQuery,
    place_of,
    row_of,
)
from retr.retrieval.store_words import WordStatistics

Value = TypeVar("Value")


class ShardedSnapshot:
    """Reads go to the shards that are concerned, at once."""

    ordered = False

    def __init__(self, shards: Sequence[CountsWords], facts: StoreFacts, spread: Spread) -> None:
        self._shards, self.facts, self._spread = shards, facts, spread
        self._count = len(shards)

    def numbers_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of the documents that have one of these ids, each asked of its own shard."""
        wanted: dict[int, list[str]] = {}
        for id in dict.fromkeys(ids):
            if isinstance(id, str):
                wanted.setdefault(shard_of(id, self._count), []).append(id)
        found: dict[str, int] = {}
        for shard, own in self._asked(wanted, lambda one, some: one.numbers_of(some)):
            found |= {id: self._number(shard, number) for id, number in own.items()}
        return found

    def ids_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """The ids of documents, by number."""
        return self._by_number(numbers, lambda one, some: one.ids_of(some))

    def ids(self, where: Filter | None = None) -> Iterator[tuple[int, str]]:
        """(number, id) of the documents for which the filter holds, by number."""
        every = self._spread(lambda one: list(one.ids(where)), self._shards)
        named = ([(self._number(at, number), id) for number, id in own] for at, own in enumerate(every))
        return merge(*named)

    def count(self, where: Filter | None = None) -> int:
        """For how many documents the filter holds."""
        return sum(self._spread(lambda one: one.count(where), self._shards))

    def get(self, numbers: Iterable[int]) -> dict[int, StoredDocument]:
        """Documents by number, without their vectors."""
        return self._by_number(numbers, lambda one, some: one.get(some))

    def hashes(self, numbers: Iterable[int]) -> dict[int, tuple[bytes, bytes]]:
        """(text hash, record hash) of documents, by number."""
        return self._by_number(numbers, lambda one, some: one.hashes(some))

    def vectors(self, rows: NDArray[np.int64]) -> Floats:
        """The vectors of rows, float32 [rows, dim], in the order given."""
        parts = self._by_shard(rows)
        found = self._spread(lambda part: self._shards[part[0]].vectors(part[2]), parts)
        if not parts:
            return self._shards[0].vectors(rows)
        whole = np.empty((len(rows), found[0].shape[1]), np.float32)
        for (_, places, _), values in zip(parts, found, strict=True):
            whole[places] = values
        return whole

    def codecs(self) -> dict[str, CodecUse]:
        """The codecs of tokens by key, in the order they came to the first shard."""
        found: dict[str, CodecUse] = {}
        for own in self._spread(lambda one: one.codecs(), self._shards):
            for key, use in own.items():
                before = found.get(key, CodecUse())
                found[key] = CodecUse(before.passages + use.passages, before.bytes + use.bytes)
        return found

    def codec(self, key: str) -> bytes:
        """What was kept as this codec, by the first shard that has it."""
        for one in self._shards:
            if key in one.codecs():
                return one.codec(key)
        raise Damaged(f"The codec {key[:12]} of a collection's tokens is missing in every shard. Run: retr check")

    def tokens(self, rows: NDArray[np.int64]) -> list[CodedTokens]:
        """The tokens of rows, in the order given, without their lists."""
        parts, whole = self._by_shard(rows), dict[int, CodedTokens]()
        for (_, places, _), own in zip(
            parts, self._spread(lambda part: self._shards[part[0]].tokens(part[2]), parts), strict=True
        ):
            whole |= zip(places.tolist(), own, strict=True)
        return [whole[place] for place in range(len(rows))]

    def rows(self, most: int, where: Filter | None = None, codec: str | None = None) -> NDArray[np.int64]:
        """The first rows of documents for which the filter holds, rising; with `codec`, those coded so."""
        every = self._spread(lambda one: one.rows(most, where, codec), self._shards)
        return np.sort(np.concatenate([self._rows(at, own) for at, own in enumerate(every)]))[:most]

    def statistics(self, query: WordsQuery) -> WordStatistics:
        """How often a query's terms come in all shards."""
        every = self._spread(lambda one: one.statistics(query), self._shards)
        holding = {term: sum(own.holding.get(term, 0) for own in every) for term in query.terms}
        passages, length = sum(own.passages for own in every), sum(own.length for own in every)
        return WordStatistics(passages, length, {term: count for term, count in holding.items() if count})

    def search(self, query: StoreQuery, k: int, where: Filter | None = None) -> Found:
        """The k best passages of all shards: k of each, merged. Words are weighed by what all shards hold."""
        asked = self._weighed(query)
        every = self._spread(lambda one: one.search(asked, k, where), self._shards)
        rows = np.concatenate([self._rows(at, own.rows) for at, own in enumerate(every)])
        scores = np.concatenate([own.scores for own in every])
        best = np.lexsort((rows, -scores))[:k]
        return Found(rows[best], rows[best] // MAX_PASSAGES, scores[best])

    def explain(self, query: WordsQuery, row: int) -> list[dict[str, Any]]:
        """What each term gave to the row's score."""
        number, ordinal = place_of(row)
        own, shard = divmod(number, self._count)
        weighed = self._weighed(query)
        assert isinstance(weighed, WordsQuery)
        return self._shards[shard].explain(weighed, row_of(own, ordinal))

    def plan(self, query: StoreQuery, where: Filter | None = None) -> str:
        """How `search` goes about it."""
        return f"{self._count} shards at once, each: {self._shards[0].plan(query, where)}"

    def _weighed(self, query: StoreQuery) -> StoreQuery:
        if not isinstance(query, WordsQuery) or query.statistics is not None:
            return query
        return replace(query, statistics=self.statistics(query))

    def _number(self, shard: int, own: int) -> int:
        return own * self._count + shard

    def _rows(self, shard: int, own: NDArray[np.int64]) -> NDArray[np.int64]:
        """A shard's rows as rows of the whole."""
        numbers, ordinals = np.divmod(own, MAX_PASSAGES)
        return np.asarray((numbers * self._count + shard) * MAX_PASSAGES + ordinals)

    def _by_shard(self, rows: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """(shard, places among the rows, the shard's own rows), for each shard that has some of them."""
        numbers, ordinals = np.divmod(rows, MAX_PASSAGES)
        own, shards = np.divmod(numbers, self._count)
        found = []
        for shard in np.unique(shards).tolist():
            places = np.flatnonzero(shards == shard)
            found.append((shard, places, own[places] * MAX_PASSAGES + ordinals[places]))
        return found

    def _by_number(self, numbers: Iterable[int], ask: Any) -> dict[int, Any]:
        wanted: dict[int, list[int]] = {}
        for number in numbers:
            own, shard = divmod(int(number), self._count)
            wanted.setdefault(shard, []).append(own)
        found = self._asked(wanted, ask)
        whole = {self._number(shard, number): value for shard, own in found for number, value in own.items()}
        return {number: whole[number] for number in sorted(whole)}

    def _asked(self, wanted: dict[int, Any], ask: Any) -> list[tuple[int, Any]]:
        """What the shards say that are asked for something, with their numbers."""
        pairs = list(wanted.items())
        return list(zip(wanted, self._spread(lambda pair: ask(self._shards[pair[0]], pair[1]), pairs), strict=True))
