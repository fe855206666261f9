"""How near a student is to its teacher on texts that neither was fitted to."""

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats

NEIGHBOURS = 10


def agreement(teacher: Floats, student: Floats) -> dict[str, float]:
    """Of unit vectors [texts, dim] of the same texts, at least two, each from its own model.

    `rank_correlation`: Spearman's, of the cosines of all pairs of texts. `neighbours`: the mean share of a text's 10
    nearest by the teacher that are among its 10 nearest by the student.
    """
    one, other = teacher @ teacher.T, student @ student.T
    pairs = np.triu_indices(len(one), 1)
    return {"rank_correlation": spearman(one[pairs], other[pairs]), "neighbours": _neighbours(one, other)}


def spearman(one: Floats, other: Floats) -> float:
    """The correlation of ranks (Spearman, 1904), equal values sharing the mean of their ranks; 0 where one is level."""
    first, second = _ranks(one), _ranks(other)
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / size if size else 0.0


def _ranks(values: Floats) -> NDArray[np.float64]:
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[where]
    return ranks


def _neighbours(one: Floats, other: Floats) -> float:
    k = min(NEIGHBOURS, len(one) - 1)
    nearest = [_nearest(scores, k) for scores in (one, other)]
    shared = [len(set(left) & set(right)) for left, right in zip(*nearest, strict=True)]
    return float(np.mean(shared)) / k


def _nearest(scores: Floats, k: int) -> list[list[int]]:
    others = scores.copy()
    np.fill_diagonal(others, -np.inf)
    rows: list[list[int]] = np.argsort(-others, axis=1, kind="stable")[:, :k].tolist()
    return rows
