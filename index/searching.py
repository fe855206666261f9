"""From a query to ranked passages: one leg a kind of index, fusion, one passage a document."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retr.index.loading import NO_TOKENS
from retr.index.settings import Mode, SearchSettings
from retr.index.snapshot import Snapshot
from retr.index.writing.stored import part_of
from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.fusion import METHODS, Fused
from retr.retrieval.protocols import Matches

MAX_QUERY_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class Ranked:
    """One found passage, and how it came to its score."""

    row: int
    score: float
    explain: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """What one kind of index found for one query, best first; `keys` are what fusion tells apart."""

    name: str
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    keys: NDArray[np.int64]


def check_query(text: str) -> str:
    """The query itself, or BadInput."""
    if not isinstance(text, str) or not text.strip():
        raise BadInput("The query is empty. Give at least one word.")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise BadInput(
            f"The query has {len(text)} characters; at most {MAX_QUERY_CHARACTERS} are accepted. Shorten it."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput("The query is not valid Unicode (a lone surrogate). Check the terminal's encoding.") from None
    return text


class Searcher:
    """Searches one snapshot with one set of settings, so that the filter is evaluated once for many queries."""

    def __init__(self, snapshot: Snapshot, settings: SearchSettings) -> None:
        self._snapshot, self._settings = snapshot, settings
        self.plans: list[dict[str, Any]] = []
        self._allowed = self._allowed_rows()
        self._keys = None if settings.group == "passage" or snapshot.one_each else snapshot.document_of
        self.vectors = vectors_for(snapshot, settings.mode)
        """The kind of vectors that queries must have: `dense` or `late`; None where words alone are searched."""
        self._words = settings.mode in ("lexical", "hybrid")

    def _allowed_rows(self) -> NDArray[np.bool_] | None:
        if self._settings.where is None:
            return self._snapshot.live_rows
        chosen = self._snapshot.documents_where(self._settings.where)
        return chosen if self._snapshot.one_each else chosen[self._snapshot.document_of]

    def search(self, texts: Sequence[str], vectors: Embeddings | None, k: int) -> list[list[Ranked]]:
        """The k best passages of each query. `vectors` are the queries', of the kind that `vectors` names."""
        depth = max(k, self._settings.depth) if self._words and self.vectors is not None else k
        nearest = self.vector_legs(vectors, depth) if vectors is not None else [None] * len(texts)
        found = []
        for text, leg in zip(texts, nearest, strict=True):
            legs = [leg] if leg is not None else []
            if self._words:
                legs.append(self._lexical_leg(text, depth))
            found.append(self._rank(text, legs)[:k])
        return found

    def vector_legs(self, vectors: Embeddings, depth: int) -> list[Leg]:
        """The nearest passages of each query, at most `depth`, one a key."""
        name = "late" if isinstance(vectors, TokenVectors) else "dense"
        wanted, total = self._first_try(depth), self._snapshot.manifest.next_row
        matches = self._matches(vectors, wanted, explain=self._settings.explain)
        legs = []
        for number in range(len(vectors)):
            rows, scores = matches.rows[number], matches.scores[number]
            width = wanted
            while True:
                found = rows >= 0
                leg = self._leg(name, rows[found], scores[found])
                if len(leg.rows) >= depth or not found.all() or width >= total:
                    break
                width *= 4
                again = self._matches(_one_of(vectors, number), width)
                rows, scores = again.rows[0], again.scores[0]
            legs.append(_cut(leg, depth))
        return legs

    def _matches(self, vectors: Embeddings, wanted: int, *, explain: bool = False) -> Matches:
        """The nearest rows of each query; with `explain`, how they were searched for is noted."""
        snapshot, exact, allowed = self._snapshot, self._settings.exact, self._allowed
        if isinstance(vectors, TokenVectors):
            assert snapshot.late is not None
            effort = self._settings.effort
            matches, plans = snapshot.late.search_explained(vectors, wanted, allowed, exact=exact, effort=effort)
        else:
            assert snapshot.dense is not None
            if not explain:
                return snapshot.dense.search(vectors, wanted, allowed, exact=exact)
            matches, plans = snapshot.dense.search_explained(vectors, wanted, allowed, exact=exact)
        if explain:
            self.plans = plans
        return matches

    def _lexical_leg(self, text: str, depth: int) -> Leg:
        if self._snapshot.lexical is None:
            return self._leg("lexical", np.empty(0, np.int64), np.empty(0, np.float32))
        allowed = self._lexical_allowed
        wanted = self._first_try(depth)
        while True:
            rows, scores = self._snapshot.lexical.search(text, wanted, allowed)
            leg = self._leg("lexical", rows, scores)
            if len(leg.rows) >= depth or len(rows) < wanted:
                return _cut(leg, depth)
            wanted *= 4

    @property
    def _lexical_allowed(self) -> NDArray[np.bool_] | None:
        """Tombstones are already out of this generation's postings; only a filter has to be passed on."""
        return None if self._settings.where is None else self._allowed

    def _first_try(self, depth: int) -> int:
        return depth if self._keys is None else 2 * depth

    def _leg(self, name: str, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> Leg:
        if self._keys is None:
            return Leg(name, rows, scores, rows)
        keys = self._keys[rows]
        first = np.sort(np.unique(keys, return_index=True)[1])
        return Leg(name, rows[first], scores[first], keys[first])

    def _rank(self, text: str, legs: list[Leg]) -> list[Ranked]:
        if not legs:
            return []
        if len(legs) == 1:
            leg = legs[0]
            return [
                Ranked(int(row), float(score), self._explain(text, int(row), {leg.name: _part(rank, score)}))
                for rank, (row, score) in enumerate(zip(leg.rows, leg.scores, strict=True), start=1)
            ]
        return [self._from_fused(text, fused, legs) for fused in self._fuse(legs)]

    def _fuse(self, legs: list[Leg]) -> list[Fused]:
        nearest, words = self._settings.weights
        weights = {leg.name: words if leg.name == "lexical" else nearest for leg in legs}
        runs = {
            leg.name: [(int(key), float(score)) for key, score in zip(leg.keys, leg.scores, strict=True)]
            for leg in legs
        }
        return METHODS[self._settings.fusion](runs, weights=weights)

    def _from_fused(self, text: str, fused: Fused, legs: list[Leg]) -> Ranked:
        parts = {part.source: part for part in fused.parts}
        best = min(parts.values(), key=lambda part: (part.rank, part.source))
        rows = {leg.name: leg.rows for leg in legs}
        row = int(rows[best.source][best.rank - 1])
        explain: dict[str, Any] = {name: _part(part.rank, part.score) for name, part in parts.items()}
        if self._settings.explain:
            explain["fusion"] = {
                "method": self._settings.fusion,
                "contributions": {name: round(part.contribution, 8) for name, part in parts.items()},
            }
        return Ranked(row, fused.score, self._explain(text, row, explain))

    def _explain(self, text: str, row: int, parts: dict[str, Any]) -> dict[str, Any]:
        if not self._settings.explain:
            return {}
        if "lexical" in parts and self._snapshot.lexical is not None:
            parts["lexical"]["terms"] = self._snapshot.lexical.explain(text, row)
            parts["lexical"]["plan"] = self._snapshot.lexical.plan(self._lexical_allowed)
        if self.vectors in parts:
            parts[self.vectors]["plan"] = self.plans
        return {"mode": self._settings.mode, **parts}


def vectors_for(snapshot: Snapshot, mode: Mode) -> Literal["dense", "late"] | None:
    """The kind of vectors that a mode compares; None for words alone. BadInput where the collection has them not."""
    manifest = snapshot.manifest
    if mode == "dense" and manifest.encoder is None:
        raise BadInput(f"{manifest.without_vectors} Use --mode {'lexical' if manifest.late is None else 'late'}.")
    if mode == "late" and manifest.late is None:
        raise BadInput(NO_TOKENS)
    if mode == "dense" or (mode == "hybrid" and manifest.encoder is not None):
        return "dense"
    return "late" if mode == "late" or (mode == "hybrid" and manifest.late is not None) else None


def _one_of(vectors: Embeddings, number: int) -> Embeddings:
    if isinstance(vectors, TokenVectors):
        return part_of(vectors, number, number + 1)
    return Vectors(vectors.values[number : number + 1])


def _part(rank: int, score: float) -> dict[str, Any]:
    return {"rank": rank, "score": round(float(score), 6)}


def _cut(leg: Leg, depth: int) -> Leg:
    if len(leg.rows) <= depth:
        return leg
    return Leg(leg.name, leg.rows[:depth], leg.scores[:depth], leg.keys[:depth])
