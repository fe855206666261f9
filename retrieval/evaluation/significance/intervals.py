"""Bootstrap intervals of a mean difference: between which values does it probably lie for queries like these?"""

import math
from collections.abc import Callable

import numpy as np

from retr.retrieval.evaluation.significance.distributions import normal_cdf, normal_quantile, t_critical
from retr.retrieval.evaluation.significance.resampling import Draws, Floats, resampled_means

MEANS_AT_ONCE = 1 << 25
"""Resampled means held at a time: 256 MB."""

Interval = Callable[[Floats, Floats, float], tuple[float, float]]
"""From one pair's differences [queries], its resampled means [draws] and alpha to the two ends."""


def percentile(differences: Floats, means: Floats, alpha: float) -> tuple[float, float]:
    """What lies between the alpha / 2 and 1 - alpha / 2 quantiles of the resampled means."""
    low, high = np.quantile(means, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def expanded(differences: Floats, means: Floats, alpha: float) -> tuple[float, float]:
    """The percentile interval of a wider level, which makes up for few queries (Hesterberg, 2015).

    Resampled means spread less than means do, by √((n - 1) / n), and have the normal's tails where t's are due. So the
    level becomes that at which the normal distribution reaches as far as √(n / (n - 1)) times the critical t.
    """
    queries = len(differences)
    if queries < 2:
        return percentile(differences, means, alpha)
    reach = math.sqrt(queries / (queries - 1)) * t_critical(alpha, queries - 1)
    return percentile(differences, means, 2 * normal_cdf(-reach))


def bias_corrected(differences: Floats, means: Floats, alpha: float) -> tuple[float, float]:
    """BCa (Efron, 1987): quantiles moved for the bias and the skewness of the resampled means.

    The acceleration is the jackknife's, which for a mean is Σu³ / (6 (Σu²)^1.5) with u the deviations from the mean.
    Differences that are all the same have an interval of width 0.
    """
    moved = differences - differences.mean()
    squares = float((moved**2).sum())
    if squares == 0 or float(np.ptp(means)) == 0:
        return percentile(differences, means, alpha)
    acceleration = float((moved**3).sum()) / (6 * squares**1.5)
    observed = differences.mean()
    below = float(((means < observed).mean() + (means <= observed).mean()) / 2)
    bias = normal_quantile(min(max(below, 1 / (2 * len(means))), 1 - 1 / (2 * len(means))))

    def moved_level(level: float) -> float:
        reach = bias + normal_quantile(level)
        return normal_cdf(bias + reach / (1 - acceleration * reach))

    low, high = np.quantile(means, [moved_level(alpha / 2), moved_level(1 - alpha / 2)])
    return float(low), float(high)


INTERVALS: dict[str, Interval] = {"expanded": expanded, "bca": bias_corrected, "percentile": percentile}
"""An interval's name to its function."""


def intervals(differences: Floats, draws: Draws, alpha: float, method: str) -> list[tuple[float, float]]:
    """The interval of level 1 - alpha of each column of [queries, pairs]."""
    at_once = max(1, MEANS_AT_ONCE // draws.samples)
    found = []
    for start in range(0, differences.shape[1], at_once):
        some = differences[:, start : start + at_once]
        means = resampled_means(some, draws)
        found += [INTERVALS[method](some[:, pair], means[:, pair], alpha) for pair in range(some.shape[1])]
    return found
