"""Paired tests: how probable is a difference of means at least this large, if the systems are equally good?

All are two-sided. `differences` is float64 [queries, pairs of systems]; the answer is one p-value a pair. A pair
without any difference has p = 1.

Smucker, Allan and Carterette (CIKM 2007) found randomisation, bootstrap and t to agree, the sign and Wilcoxon tests to
mislead; in 2009 (SIGIR) they advised randomisation for few queries. Urbano, Lima and Hanjalic (SIGIR 2019) prefer t.
"""

import math
from collections.abc import Callable

import numpy as np

from retr.retrieval.evaluation.significance.distributions import t_two_sided
from retr.retrieval.evaluation.significance.resampling import Draws, Floats

Test = Callable[[Floats, Draws], Floats]

ENUMERATED = 16
"""With at most so many queries that differ, all 2^16 ways to swap the systems are counted, and none is drawn."""
ROUNDING = 1e-12
"""Two sums closer than this share of what was summed are the same sum, added up in another order."""


def randomisation(differences: Floats, draws: Draws) -> Floats:
    """Fisher's randomisation test: swap the two systems' values query by query, and see how often as much comes out.

    Exact where few queries differ; else (1 + draws as extreme) / (1 + draws), which never is below the true level
    (Phipson and Smyth, 2010, equation 2).
    """
    differing = np.count_nonzero(differences, axis=0)
    found = np.array([_enumerated(column[column != 0]) if few else 1.0 for column, few in _columns(differences)])
    many = np.flatnonzero(differing > ENUMERATED)
    if len(many):
        found[many] = _drawn(differences[:, many], draws)
    return found


def _columns(differences: Floats) -> list[tuple[Floats, bool]]:
    return [(column, int(np.count_nonzero(column)) <= ENUMERATED) for column in differences.T]


def _enumerated(values: Floats) -> float:
    """The share of all sign patterns whose sum is as far from 0; half of them, since the other half mirrors it."""
    sums = np.abs(values[:1])
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    least = abs(values.sum()) - ROUNDING * np.abs(values).sum()
    return float(np.mean(np.abs(sums) >= least)) if len(values) else 1.0


def _drawn(differences: Floats, draws: Draws) -> Floats:
    total = differences.sum(axis=0)
    least = np.abs(total) - ROUNDING * np.abs(differences).sum(axis=0)
    extreme = np.zeros(differences.shape[1])
    for flips in draws.flips(len(differences)):
        extreme += (np.abs(total - 2 * (flips @ differences)) >= least).sum(axis=0)
    return np.asarray((extreme + 1) / (draws.samples + 1))


def student(differences: Floats, draws: Draws) -> Floats:
    """Student's paired t-test; nothing is drawn. One and the same difference everywhere has p = 0."""
    freedom = len(differences) - 1
    return np.array([t_two_sided(t, freedom) for t in statistics(differences).tolist()])


def bootstrap(differences: Floats, draws: Draws) -> Floats:
    """The studentised bootstrap test of Efron and Tibshirani (1993, algorithm 16.2), for retrieval by Sakai (2006).

    Queries are drawn from differences moved to mean 0; extreme is a draw whose t is as far from 0. (Without dividing
    by the spread, few queries give p-values that are too small: Smucker, Allan and Carterette, 2009.)
    """
    queries = len(differences)
    moved = differences - differences.mean(axis=0)
    observed = np.abs(statistics(differences))
    varied = np.isfinite(observed) & (observed > 0)
    extreme = np.zeros(differences.shape[1])
    both = np.concatenate([moved, moved**2], axis=1)[:, np.tile(varied, 2)]
    for counts in draws.counts(queries):
        means, squares = np.split(counts @ both / queries, 2, axis=1)
        errors = np.sqrt(np.maximum(squares - means**2, 0) / (queries - 1))
        extreme[varied] += (np.abs(means) >= observed[varied] * errors).sum(axis=0)
    return np.where(observed > 0, (extreme + 1) / (draws.samples + 1), 1.0)


def statistics(differences: Floats) -> Floats:
    """t = mean / (standard deviation / √queries) of each column; 0 for no difference, ± infinity without a spread."""
    means, spreads = differences.mean(axis=0), spread(differences)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = means / (spreads / math.sqrt(len(differences)))
    return np.where(means == 0, 0.0, found)


def spread(differences: Floats) -> Floats:
    """The standard deviation of each column (n - 1); exactly 0 for a column whose values are one and the same."""
    same = np.ptp(differences, axis=0) <= ROUNDING * np.abs(differences).max(axis=0)
    return np.where(same, 0.0, differences.std(axis=0, ddof=1))


TESTS: dict[str, Test] = {"randomisation": randomisation, "t": student, "bootstrap": bootstrap}
"""A test's name to its function."""


def holm(p_values: Floats) -> Floats:
    """Holm's step-down correction (1979): p-values that hold for all comparisons together, in the order given.

    The smallest is multiplied by their number, the next by one less, and so on; none is below the one before it, nor
    above 1.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
