"""When a comparison should stop a build: a system is shown to be worse, or not shown to be no worse than a margin."""

from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.significance.comparing import Comparison, Pair


def shown_worse(comparison: Comparison) -> list[Pair]:
    """The pairs whose system is worse with an adjusted p of at most alpha."""
    _check_baseline(comparison)
    return [pair for pair in comparison.pairs if comparison.verdict(pair) == "worse"]


def perhaps_worse(comparison: Comparison, margin: float) -> list[Pair]:
    """The pairs whose interval reaches below -margin: being worse by more than it is not ruled out.

    A test of non-inferiority. Since every pair has to pass, no correction is needed: a system that is worse by more
    passes with a probability of alpha / 2 at most, as far as the interval keeps its level.
    """
    _check_baseline(comparison)
    if not margin >= 0:
        raise BadInput(f"margin must be at least 0; got {margin:g}. 0.01 allows a loss of 0.01 in the metric.")
    return [pair for pair in comparison.pairs if pair.low < -margin]


def _check_baseline(comparison: Comparison) -> None:
    if comparison.baseline is None:
        names = ", ".join(repr(name) for name in comparison.systems)
        raise BadInput(f"Worse than which? Name one of the systems as the baseline: {names}.")
