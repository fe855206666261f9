"""Ranked passages out of the legs of a search: fusion, explanation, and no passage twice, wherever they are kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.manifest import Manifest
from retr.index.loading import NO_TOKENS
from retr.index.settings import Mode, SearchSettings
from retr.retrieval.embeddings import Embeddings
from retr.retrieval.errors import BadInput
from retr.retrieval.fusion import METHODS, Fused


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


class Ranker(ABC):
    """From the queries of one search to ranked passages; what knows where they are kept gives the legs."""

    def __init__(self, manifest: Manifest, settings: SearchSettings) -> None:
        self._manifest, self._settings = manifest, settings
        self.plans: list[dict[str, Any]] = []
        self.vectors = vectors_for(manifest, settings.mode)
        """The kind of vectors that queries must have: `dense` or `late`; None where words alone are searched."""
        self._words = settings.mode in ("lexical", "hybrid")

    @abstractmethod
    def vector_legs(self, vectors: Embeddings, depth: int) -> list[Leg]:
        """The nearest passages of each query, at most `depth`, one a key."""

    @abstractmethod
    def lexical_leg(self, text: str, depth: int) -> Leg:
        """The passages that hold a query's words, best first, at most `depth`, one a key."""

    @abstractmethod
    def said_of_words(self, text: str, row: int) -> dict[str, Any]:
        """What explains a passage's score by words: the terms, and how they were searched for."""

    def search(self, texts: Sequence[str], vectors: Embeddings | None, k: int) -> list[list[Ranked]]:
        """The k best passages of each query. `vectors` are the queries', of the kind that `vectors` names."""
        depth = max(k, self._settings.depth) if self._words and self.vectors is not None else k
        nearest = self.vector_legs(vectors, depth) if vectors is not None else [None] * len(texts)
        found = []
        for text, leg in zip(texts, nearest, strict=True):
            legs = [leg] if leg is not None else []
            if self._words:
                legs.append(self.lexical_leg(text, depth))
            found.append(self._rank(text, legs)[:k])
        return found

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
        if "lexical" in parts:
            parts["lexical"] |= self.said_of_words(text, row)
        if self.vectors in parts:
            parts[self.vectors]["plan"] = self.plans
        return {"mode": self._settings.mode, **parts}


def vectors_for(manifest: Manifest, mode: Mode) -> Literal["dense", "late"] | None:
    """The kind of vectors that a mode compares; None for words alone. BadInput where the collection has them not."""
    if mode == "dense" and manifest.encoder is None:
        raise BadInput(f"{manifest.without_vectors} Use --mode {'lexical' if manifest.late is None else 'late'}.")
    if mode == "late" and manifest.late is None:
        raise BadInput(NO_TOKENS)
    if mode == "dense" or (mode == "hybrid" and manifest.encoder is not None):
        return "dense"
    return "late" if mode == "late" or (mode == "hybrid" and manifest.late is not None) else None


def cut(leg: Leg, depth: int) -> Leg:
    """The best of a leg, at most `depth`."""
    if len(leg.rows) <= depth:
        return leg
    return Leg(leg.name, leg.rows[:depth], leg.scores[:depth], leg.keys[:depth])


def _part(rank: int, score: float) -> dict[str, Any]:
    return {"rank": rank, "score": round(float(score), 6)}
