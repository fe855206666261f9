"""From measured points to a choice: the frontier, the target, and the check on queries that had no part in choosing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retr.index.tuning.points import Point

_RESAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The chosen point; those that met the target where they were chosen and missed it where they were checked.

    `lower` is the lower end of the one-sided 95% bootstrap interval of its mean recall on the checking queries.
    `fallback` says that nothing else passed and exact search was taken.
    """

    point: Point
    lower: float
    rejected: tuple[Point, ...] = ()
    fallback: bool = False


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats: as fast or faster, and of as high or higher recall. Fastest first.

    Of equal points the first stays.
    """
    best, kept = -1.0, []
    for point in sorted(points, key=lambda point: (point.speed.median_ms, -point.recall)):
        if point.recall > best:
            kept.append(point)
            best = point.recall
    return kept


def choose(points: Sequence[Point], exact: Point, target: float, *, seed: int = 0, above: float = -1.0) -> Choice:
    """The fastest point that meets the target on the choosing queries and then on the checking ones as well.

    After one that fails the check, only more accurate ones are asked; `above` leaves out all up to that recall from
    the start. When none passes it is `exact`, which scores every vector.
    """
    rejected: list[Point] = []
    meeting = sorted(
        (point for point in points if point.recall >= target and point.recall > above),
        key=lambda point: (point.speed.median_ms, -point.recall, point.build.bytes),
    )
    while meeting:
        point = meeting[0]
        if point.held_out >= target:
            return Choice(point, lower_bound(point.checking, seed=seed), tuple(rejected))
        rejected.append(point)
        meeting = [other for other in meeting if other.recall > point.recall]
    return Choice(exact, lower_bound(exact.checking, seed=seed), tuple(rejected), fallback=True)


def lower_bound(recalls: NDArray[np.float64], *, seed: int = 0, confidence: float = CONFIDENCE) -> float:
    """What the mean of such queries exceeds with the given confidence: a percentile bootstrap over the queries."""
    rng = np.random.default_rng(seed)
    values, counts = np.unique(recalls, return_counts=True)
    draws = rng.multinomial(len(recalls), counts / len(recalls), _RESAMPLES)
    return float(np.quantile(draws @ values / len(recalls), 1 - confidence))
