"""Sentence similarity (STS): how well a model's scores of pairs follow people's: Spearman and Pearson correlation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retr.retrieval.errors import BadInput, Mismatch

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Correlation:
    """The correlations, and what each pair adds to them: the mean of `parts[name]` is the correlation itself."""

    means: Mapping[str, float]
    parts: Mapping[str, Values]
    pairs: int


def evaluate_similarity(scores: ArrayLike, gold: ArrayLike) -> Correlation:
    """Both correlations of a model's scores [pairs] with the scores that people gave [pairs].

    Mismatch for different lengths; BadInput for fewer than two pairs, numbers that are not finite, or all of one side
    equal, which no correlation is defined for.
    """
    own, theirs = _checked(scores, "The model's scores"), _checked(gold, "The given scores")
    if len(own) != len(theirs):
        raise Mismatch(f"There are {len(own)} scores of the model, but {len(theirs)} given ones. One a pair is needed.")
    parts = {
        "spearman": correlation_parts(average_ranks(own), average_ranks(theirs)),
        "pearson": correlation_parts(own, theirs),
    }
    return Correlation({name: _mean(values) for name, values in parts.items()}, parts, len(own))


def spearman(one: Values, other: Values) -> float:
    """Pearson's correlation of the ranks, in which equal values share the mean of their ranks; NaN if one is flat."""
    return pearson(average_ranks(one), average_ranks(other))


def pearson(one: Values, other: Values) -> float:
    """The covariance over both standard deviations; NaN where all values of one side are equal."""
    return _mean(correlation_parts(one, other))


def correlation_parts(one: Values, other: Values) -> Values:
    """The product of both standardised values of each pair [pairs]; their mean is Pearson's correlation."""
    return len(one) * _direction(one) * _direction(other)


def average_ranks(values: Values) -> Values:
    """Ranks from 1, rising; equal values share the mean of the ranks that they take together."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: Values = np.cumsum(counts) - (counts - 1) / 2
    return middle[place]


CORRELATIONS: dict[str, Callable[[Values, Values], float]] = {"spearman": spearman, "pearson": pearson}
"""A correlation's name to its function."""


def _direction(values: Values) -> Values:
    """The values around their mean, as a vector of length 1."""
    if (values == values[0]).all():
        return np.full(len(values), np.nan)
    around = values - values.mean()
    largest = np.abs(around).max()  # Divided out first, so that squares neither overflow nor vanish.
    scaled = around / largest
    direction: Values = scaled / np.sqrt((scaled**2).sum())
    return direction


def _mean(parts: Values) -> float:
    return float(np.clip(parts.mean(), -1.0, 1.0))


def _checked(values: ArrayLike, what: str) -> Values:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise BadInput(
            f"{what} have the shape {list(array.shape)}; a correlation needs one number for each of 2 pairs."
        )
    if not np.isfinite(array).all():
        worst = int(np.argmin(np.isfinite(array)))
        raise BadInput(f"{what} hold {array[worst]} at pair {worst + 1}; only finite numbers can be compared.")
    if (array == array[0]).all():
        raise BadInput(f"{what} are all {array[0]:g}, so no correlation is defined. Check the model and the file.")
    return array
