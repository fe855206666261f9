"""Several ranked lists of one query made into one, with the arithmetic of every score kept for `--explain`."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.errors import BadInput, unknown

RankedLists = Mapping[str, Sequence[tuple[Hashable, float]]]
"""By the name of its source, each list best first: (id, score). Ids are strings or row numbers, alike in all lists."""

Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """What one source gave to a fused score: there the item had this rank (from 1) and score."""

    source: str
    rank: int
    score: float
    contribution: float


@dataclass(frozen=True, slots=True)
class Fused:
    """An item of the merged list. `score` is the sum of the contributions; `parts` are in the order of the lists."""

    id: Hashable
    score: float
    parts: tuple[Part, ...]


class Method(Protocol):
    """A way to fuse. Both ways below are such."""

    def __call__(self, runs: RankedLists, *, weights: Weights | None = None) -> list[Fused]:
        """All items of the lists, best first; ties go to the better best rank, then to the smaller id."""
        ...


def reciprocal_rank_fusion(runs: RankedLists, *, constant: float = 60, weights: Weights | None = None) -> list[Fused]:
    """Merge by position alone: the sum of weight / (constant + rank) over the lists that hold an item.

    Scores need not be comparable (Cormack, Clarke and Büttcher, 2009, whose constant is 60). A list without a weight
    has 1; one of weight 0 is left out. BadInput for a bad weight or constant, and for an id twice in one list.
    """
    if not (math.isfinite(constant) and constant >= 0):
        raise BadInput(f"The constant of reciprocal rank fusion must be a number of at least 0; got {constant}.")
    first = np.float64(constant) + 1
    return _fuse(runs, weights, lambda scores: np.reciprocal(np.arange(len(scores), dtype=np.float64) + first))


def weighted_sum(runs: RankedLists, *, weights: Weights | None = None, normalise: str = "minmax") -> list[Fused]:
    """Merge by scores: the sum of weight x normalised score over the lists that hold an item.

    An item that a list does not hold gets 0 from it, which is what that list's last item gets. Weights as above.
    BadInput also for a score that is not finite; NotFound for an unknown normalisation.
    """
    if normalise not in NORMALISATIONS:
        raise unknown("normalisation", normalise, NORMALISATIONS)
    return _fuse(runs, weights, NORMALISATIONS[normalise])


METHODS: dict[str, Method] = {
    "rrf": reciprocal_rank_fusion,
    "weighted": weighted_sum,
    "weighted-zscore": partial(weighted_sum, normalise="zscore"),
}
"""A way to fuse by its name."""

Scores = NDArray[np.float64]


def minmax(scores: Scores) -> Scores:
    """The lowest score to 0, the highest to 1; all to 1 where they are equal."""
    return _above_lowest(scores, float(np.ptp(scores)))


def zscore(scores: Scores) -> Scores:
    """How many standard deviations a score lies above the lowest; all to 1 where they are equal.

    The plain z-score lies a constant lower; this one makes the last item of a list equal to an absent one.
    """
    return _above_lowest(scores, float(np.std(scores)))


NORMALISATIONS: dict[str, Callable[[Scores], Scores]] = {"minmax": minmax, "zscore": zscore}
"""A way to make scores comparable by its name: float64 [items] to float64 [items], the lowest at 0."""


def _above_lowest(scores: Scores, spread: float) -> Scores:
    return (scores - scores.min()) / spread if spread > 0 else np.ones_like(scores)


def _fuse(runs: RankedLists, weights: Weights | None, values_of: Callable[[Scores], Scores]) -> list[Fused]:
    parts: dict[Hashable, list[Part]] = {}
    for source, weight in _weights(runs, weights).items():
        items = runs[source]
        if not items or weight == 0:
            continue
        scores = _scores(source, items)
        contributions = weight * values_of(scores)
        for place, (id, _) in enumerate(items):
            part = Part(source, place + 1, float(scores[place]), float(contributions[place]))
            parts.setdefault(id, []).append(part)
    # fsum is exact, so two items with the same contributions tie whatever the order of the lists.
    fused = [Fused(id, math.fsum(part.contribution for part in of_id), tuple(of_id)) for id, of_id in parts.items()]
    return sorted(fused, key=_order)


def _order(item: Fused) -> tuple[float, int, Any]:
    return -item.score, min(part.rank for part in item.parts), item.id


def _weights(runs: RankedLists, weights: Weights | None) -> dict[str, float]:
    given = weights or {}
    for source, weight in given.items():
        if source not in runs:
            raise unknown("list to weigh", source, runs)
        if not (math.isfinite(weight) and weight >= 0):
            raise BadInput(f"The weight of {source!r} must be a number of at least 0; got {weight}.")
    return {source: float(given.get(source, 1.0)) for source in runs}


def _scores(source: str, items: Sequence[tuple[Hashable, float]]) -> Scores:
    if len({id for id, _ in items}) != len(items):
        raise BadInput(f"The list {source!r} holds an id twice. Keep the best place of each before fusing.")
    scores = np.array([score for _, score in items], dtype=np.float64)
    if not np.isfinite(scores).all():
        raise BadInput(f"The list {source!r} holds a score that is NaN or infinite. Drop such items before fusing.")
    return scores
