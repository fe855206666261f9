"""Late interaction over a store: it names candidates by lists of centroids, and their tokens are scored here."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import Rows
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.mixed import MixedIndex
from retr.index.late.query import PreparedQuery
from retr.index.late.settings import Effort
from retr.index.stores.coding import codec_of, part_of
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.filters import Filter
from retr.retrieval.store import MAX_PASSAGES, Found, StoreSnapshot, TokensQuery

if TYPE_CHECKING:
    from retr.index.late.index import Alignment

ALL = 1 << 40
_AT_ONCE = 4_096
"""Passages whose tokens are fetched and scored together."""


class StoreTokens:
    """The tokens of one generation of a store, or of a store as it is at each call.

    Passages of a codec without centroids are in no list and are all scored; so are those of another codec, where they
    are no more than the candidates. Otherwise the store names the candidates: those that reach most by their lists.
    """

    def __init__(self, snapshot: StoreSnapshot) -> None:
        self._snapshot = snapshot

    def scores(self, query: Floats, rows: Rows) -> Floats:
        """MaxSim of one query, float32 [tokens, dim], with some rows, in the order given: float32 [rows]."""
        index, places = self._index(rows)
        return index.scores(query, places)

    def align(self, query: Floats, rows: Sequence[int]) -> "list[Alignment]":
        """What each token of one query, float32 [tokens, dim], matches in some rows."""
        index, places = self._index(np.asarray(rows, np.int64))
        return index.align(query, places.tolist())

    def vectors(self, rows: Rows) -> TokenVectors:
        """Some rows' tokens as they are kept, decoded, in the order given."""
        index, places = self._index(rows)
        return index.vectors(places)

    def search(self, query: Floats, k: int, where: Filter | None, *, exact: bool, effort: Effort) -> Found:
        """The k best passages of documents for which the filter holds, by one query float32 [tokens, dim].

        `exact` scores every one, with the query's numbers as they are given.
        """
        rows = self._snapshot.rows(ALL, where) if exact else self._candidates(query, k, where, effort)
        asked, found = TokenVectors(query, np.array([0, len(query)], np.int64)), _Best(k)
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            index, places = self._index(some)
            matches = index.search(asked, k, exact=exact, effort=Effort(candidates=ALL))
            at = np.argsort(places)  # The place among `some` of each of the index's documents.
            there = matches.rows[0] >= 0
            found.take(some[at[matches.rows[0][there]]], matches.scores[0][there])
        return Found(found.rows, found.rows // MAX_PASSAGES, found.scores)

    def check(self) -> int:
        """Read every passage's tokens; gives how many there are. Damaged where some cannot be read."""
        rows, found = self._snapshot.rows(ALL), 0
        for start in range(0, len(rows), _AT_ONCE):
            found += self._index(rows[start : start + _AT_ONCE])[0].token_count
        return found

    def plan(self, k: int, effort: Effort, *, exact: bool) -> str:
        """How `search` goes about it."""
        if exact:
            return "every passage that matches, by the query as it was given"
        most = effort.for_hits(k)
        if any(codec_of(self._snapshot, key).coded for key in self._snapshot.codecs()):
            return f"lists of the centroids nearest to each token, {most} passages scored; all where fewer match"
        return "every passage that matches: tokens of 8 bits have no centroids here"

    def _candidates(self, query: Floats, k: int, where: Filter | None, effort: Effort) -> Rows:
        """Rows to score, rising."""
        most = effort.for_hits(k)
        rows = [np.empty(0, np.int64)]
        for key, use in self._snapshot.codecs().items():
            if not use.passages:
                continue
            codec = codec_of(self._snapshot, key)
            own = self._snapshot.rows(most + 1 if codec.coded else ALL, where, key)
            near = _Lists(key, codec, query)
            rows.append(own if not codec.coded or len(own) <= most else self._listed(near, most, where, effort.nprobe))
        return np.unique(np.concatenate(rows))

    def _listed(self, near: "_Lists", most: int, where: Filter | None, nprobe: int) -> Rows:
        """The rows that reach most by the lists nearest to the query; with twice the lists until there are enough."""
        while True:
            found = self._snapshot.search(near.query(nprobe), most, where)
            if len(found.rows) >= most or nprobe >= near.total:
                return found.rows
            nprobe *= 2

    def _index(self, rows: Rows) -> tuple[MixedIndex, Rows]:
        """What scores some rows, and the number that it has for each of them."""
        each = self._snapshot.tokens(rows)
        keys = list(dict.fromkeys(one.codec for one in each))
        parts, places, start = [], np.empty(len(rows), np.int64), 0
        for key in keys:
            own = [place for place, one in enumerate(each) if one.codec == key]
            parts.append(part_of(codec_of(self._snapshot, key), [each[place] for place in own]))
            places[own] = np.arange(start, start + len(own))
            start += len(own)
        return MixedIndex(parts), places


class _Lists:
    """The lists of one codec that are near to a query, float32 [tokens, dim]."""

    def __init__(self, key: str, codec: Codec, query: Floats) -> None:
        self._key, self._codec, self._query = key, codec, query
        self.total = len(codec.centroids)

    def query(self, nprobe: int) -> TokensQuery:
        """The `nprobe` nearest of each token. A list's weight is how much nearer it is than the first one left out."""
        prepared = PreparedQuery(self._query, self._codec, chosen_kernels())
        products = prepared.products[:, : len(prepared)].T.astype(np.float32)  # [tokens, centroids]
        order = np.argsort(-products, axis=1, kind="stable")[:, : nprobe + 1]
        near = np.take_along_axis(products, order, axis=1)
        count = min(nprobe, self.total)
        floor = near[:, -1:] - (1 if count == self.total else 0)
        tokens: NDArray[np.int64] = np.repeat(np.arange(len(products)), count)
        weights = (near[:, :count] - floor).ravel() * np.float32(prepared.scale * self._codec.gain)
        return TokensQuery(self._key, tokens, order[:, :count].ravel(), weights)


class _Best:
    """The k best of what is taken: scores falling, equal ones by row."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.rows, self.scores = np.empty(0, np.int64), np.empty(0, np.float32)

    def take(self, rows: Rows, scores: Floats) -> None:
        """Let some pass by."""
        rows, scores = np.concatenate([self.rows, rows]), np.concatenate([self.scores, scores])
        order = np.lexsort((rows, -scores))[: self._k]
        self.rows, self.scores = rows[order], scores[order]
