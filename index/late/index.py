"""The token vectors of a whole snapshot: its parts searched as one, documents counted through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.threads import spread
from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import Kernels, Rows
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.part import LatePart
from retr.index.late.planning import Plan, Planner
from retr.index.late.query import PreparedQuery
from retr.index.late.settings import Effort
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors, check_finite
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Matches

Allowed = NDArray[np.bool_]
_BYTE = 255
Scored = tuple[Floats, Rows]
"""Scores and documents of one query, best first."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A search that was checked: for k of some documents (None: all), and the way that was chosen."""

    queries: list[Floats]
    k: int
    rows: Rows | None
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """What each token of a query matched in one document: places int64 and similarities float32 [query tokens].

    A place counts the document's tokens from 0; the similarities add up to the document's score.
    """

    places: Rows
    similarities: Floats


class LateIndex:
    """MaxSim over the parts of a snapshot, which share one codec. Safe to share between threads; one thread a query.

    Scores are those of the tokens as they are kept. Equal scores come by the lower document.
    """

    def __init__(self, codec: Codec, parts: Sequence[LatePart], kernels: Kernels | None = None) -> None:
        self._codec, self._kernels = codec, kernels or chosen_kernels()
        self._parts = [part for part in parts if len(part)]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)], dtype=np.int64)
        tokens = sum(part.token_count for part in self._parts)
        listed = bool(self._parts) and all(part.lists is not None for part in self._parts)
        self._planner = Planner(len(self), tokens, codec.bits, codec.coded, listed)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def dim(self) -> int:
        """Numbers in a token's vector."""
        return self._codec.dim

    @property
    def token_count(self) -> int:
        """Tokens of all documents."""
        return self._planner.tokens

    def search(
        self,
        queries: Embeddings,
        k: int,
        allowed: Allowed | None = None,
        *,
        exact: bool = False,
        effort: Effort | None = None,
    ) -> Matches:
        """The k best allowed documents a query: always as many as match, up to k.

        `exact` scores every document with the query's numbers as they are given, in float32.
        """
        return self.search_explained(queries, k, allowed, exact=exact, effort=effort)[0]

    def search_explained(
        self,
        queries: Embeddings,
        k: int,
        allowed: Allowed | None = None,
        *,
        exact: bool = False,
        effort: Effort | None = None,
    ) -> tuple[Matches, dict[str, Any]]:
        """What `search` gives, and how it was searched and why."""
        asked = self.asked(queries, k, allowed, exact=exact, effort=effort)
        return matches_of(self.found(asked), k), asked.plan.explain()

    def asked(
        self,
        queries: Embeddings,
        k: int,
        allowed: Allowed | None = None,
        *,
        exact: bool = False,
        effort: Effort | None = None,
    ) -> Asked:
        """A search that was checked and planned, but not done."""
        given = self._checked(queries)
        if k < 1:
            raise BadInput(f"k must be at least 1; got {k}.")
        rows = self._rows(allowed)
        matching = len(self) if rows is None else len(rows)
        plan = self._planner.plan(k, matching, effort or Effort(), exact=exact)
        return Asked(list(given), k, rows, plan)

    def found(self, asked: Asked) -> list[Scored]:
        """What `asked` asks for, each query on one thread."""
        return spread(lambda values: self._one(self.prepared(values), asked.k, asked.rows, asked.plan), asked.queries)

    def scores(self, query: Floats, rows: Rows) -> Floats:
        """MaxSim of one query, float32 [tokens, dim], with some documents, as `search` scores them: float32 [rows]."""
        prepared = self.prepared(next(iter(self._checked(TokenVectors(query, np.array([0, len(query)]))))))
        return (self._gathered(rows, lambda part, own: part.scores(prepared, own)) * prepared.scale).astype(np.float32)

    def align(self, query: Floats, rows: Sequence[int]) -> list[Alignment]:
        """What each token of one query, float32 [tokens, dim], matches in some documents."""
        prepared = self.prepared(next(iter(self._checked(TokenVectors(query, np.array([0, len(query)]))))))
        found = []
        for row in rows:
            number = int(np.searchsorted(self._starts, row, side="right")) - 1
            found.append(Alignment(*self._parts[number].matches(prepared, int(row - self._starts[number]))))
        return found

    def vectors(self, rows: Rows) -> TokenVectors:
        """Some documents' tokens as they are kept, decoded, in the order given."""
        each = [self._parts[number].vectors(own) for number, own in self._owners(rows)]
        values = np.concatenate([np.empty((0, self.dim), np.float32), *(one.values for one in each)])
        lengths = np.concatenate([np.empty(0, np.int64), *(np.diff(one.offsets) for one in each)])
        return TokenVectors(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def _checked(self, queries: Embeddings) -> TokenVectors:
        if not isinstance(queries, TokenVectors):
            raise BadInput("A late-interaction index needs one vector a token; it was given one a text.")
        if queries.dim != self.dim:
            raise Mismatch(
                f"The index has dim {self.dim}; the queries {queries.dim}. Use the encoder it was made with."
            )
        check_finite(queries)
        if (np.diff(queries.offsets) == 0).any():
            raise BadInput("A query has no token vectors. Give it a text.")
        return queries

    def _rows(self, allowed: Allowed | None) -> Rows | None:
        if allowed is None:
            return None
        if len(allowed) != len(self):
            raise Mismatch(f"The filter covers {len(allowed)} documents; the index has {len(self)}.")
        return None if allowed.all() else np.flatnonzero(allowed)

    def prepared(self, values: Floats) -> PreparedQuery:
        """One query's tokens, float32 [tokens, dim], as they are compared."""
        return PreparedQuery(values, self._codec, self._kernels)

    def _one(self, query: PreparedQuery, k: int, rows: Rows | None, plan: Plan) -> Scored:
        """At most k."""
        rows = self._candidates(query, rows, plan)
        if plan.way == "float32":
            exact = self._gathered(rows, lambda part, own: part.exact(query, own))
            places = _top(exact, k)
            return exact[places].astype(np.float32), places if rows is None else rows[places]
        whole = self._gathered(rows, lambda part, own: part.scores(query, own))
        places = _top(whole, k)
        return query.scored(whole[places], places if rows is None else rows[places])

    def _candidates(self, query: PreparedQuery, rows: Rows | None, plan: Plan) -> Rows | None:
        """The documents to score, rising; None for all."""
        if plan.way in ("float32", "all"):
            return rows
        if plan.way == "lists":
            rows = self._listed(query, rows, plan)
        if rows is not None and len(rows) <= plan.candidates:
            return rows
        reached = self._gathered(rows, lambda part, own: part.scan(query, own))
        places = self._kernels.best(reached.astype(np.uint32, copy=False), _BYTE * len(query), plan.candidates)
        return places if rows is None else rows[places]

    def _listed(self, query: PreparedQuery, rows: Rows | None, plan: Plan) -> Rows | None:
        """The allowed documents in lists near the query; with twice the lists until there are enough candidates."""
        total, nprobe = len(self._codec.centroids), plan.nprobe
        while nprobe < total:
            near = query.nearest(nprobe)
            marked = [part.lists.documents(near, len(part)) for part in self._parts if part.lists is not None]
            found = np.concatenate(marked)
            listed = np.flatnonzero(found) if rows is None else rows[found[rows]]
            if len(listed) >= min(plan.candidates, plan.matching):
                return listed
            nprobe *= 2
        return rows

    def _gathered(self, rows: Rows | None, work: Callable[[LatePart, Rows | None], NDArray[Any]]) -> NDArray[Any]:
        """`work` done by each part on its own documents, in the order of `rows`."""
        if rows is None:
            found = [work(part, None) for part in self._parts]
        else:
            found = [work(self._parts[number], own) for number, own in self._owners(rows)]
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.uint32), *found])

    def _owners(self, rows: Rows) -> list[tuple[int, Rows]]:
        """Runs of rows of one part: its number, and the rows counted in it."""
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        runs = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(numbers)) + 1) if len(rows) else []
        return [(int(numbers[run[0]]), np.ascontiguousarray(rows[run] - self._starts[numbers[run[0]]])) for run in runs]


def matches_of(found: Sequence[Scored], k: int) -> Matches:
    """Each query's documents in a line of k, filled up with -1."""
    scores = np.full((len(found), k), -np.inf, np.float32)
    best = np.full((len(found), k), -1, np.int64)
    for line, (ours, documents) in enumerate(found):
        scores[line, : len(ours)], best[line, : len(ours)] = ours, documents
    return Matches(scores, best)


def _top(scores: NDArray[Any], k: int) -> Rows:
    """The places of the k largest, best first; of equal ones the first."""
    if len(scores) > k:
        edge = np.partition(scores, len(scores) - k)[len(scores) - k]
        places = np.flatnonzero(scores >= edge)
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")[:k]]
