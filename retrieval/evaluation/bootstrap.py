"""How much a figure would move with other queries or pairs like these: bootstrap intervals of one system."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.significance.intervals import INTERVALS, intervals
from retr.retrieval.evaluation.significance.resampling import Draws

Interval = tuple[float, float]
METHOD = "expanded"
"""Wide enough for few queries too; what `retr compare` gives by default."""
Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True, slots=True)
class IntervalSettings:
    """Level 1 - alpha; `samples` draws for means, and `statistic_samples` for figures that are no mean."""

    alpha: float = 0.05
    samples: int = 10_000
    statistic_samples: int = 2_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise BadInput(f"The seed must be at least 0; got {self.seed}.")


def mean_intervals(
    per_query: Mapping[str, Mapping[str, float]], settings: IntervalSettings | None = None
) -> dict[str, Interval]:
    """The interval of each metric's mean, from per_query[metric][query id], queries drawn again.

    The expanded percentile interval, as in comparisons. BadInput for a single query, which says nothing of others.
    """
    chosen = settings or IntervalSettings()
    for values in per_query.values():
        _check_count(len(values))
    return {
        name: intervals(
            np.array([list(values.values())], dtype=np.float64).T,
            Draws(chosen.samples, chosen.seed),
            chosen.alpha,
            METHOD,
        )[0]
        for name, values in per_query.items()
    }


def statistic_intervals(
    statistics: Mapping[str, Statistic],
    scores: NDArray[np.float64],
    gold: NDArray[np.float64],
    settings: IntervalSettings | None = None,
) -> dict[str, Interval]:
    """The interval of each statistic of scores [pairs] and gold [pairs], pairs drawn again; of the same kind.

    Draws for which a statistic is not defined, such as those of one class alone, are left out.
    """
    chosen = settings or IntervalSettings()
    rng = np.random.default_rng(chosen.seed)
    found: dict[str, list[float]] = {name: [] for name in statistics}
    for _ in range(chosen.statistic_samples):
        rows = rng.integers(0, len(scores), len(scores))
        for name, statistic in statistics.items():
            found[name].append(statistic(scores[rows], gold[rows]))
    return {name: INTERVALS[METHOD](scores, _defined(name, values), chosen.alpha) for name, values in found.items()}


def _defined(name: str, values: list[float]) -> NDArray[np.float64]:
    draws = np.array(values)
    defined: NDArray[np.float64] = draws[~np.isnan(draws)]
    if not len(defined):
        raise BadInput(f"{name} is defined for no draw of these few pairs, so it has no interval. Give more pairs.")
    return defined


def _check_count(count: int) -> None:
    if count < 2:
        raise BadInput(f"An interval needs at least 2 queries to draw from; there is {count}. Leave out --ci.")
