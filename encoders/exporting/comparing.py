"""How near two sets of vectors, or of scores, are."""

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

BEST = 10
TINY = 1e-12


def compare_vectors(found: Floats, exact: Floats) -> dict[str, float]:
    """Mean and worst cosine, the largest difference of a number, and how many of each text's neighbours stay."""
    _check(found, exact)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1)
    cosines = (found.astype(np.float64) * exact).sum(axis=1) / np.maximum(lengths, TINY)
    return {
        "mean_cosine": float(cosines.mean()),
        "worst_cosine": float(cosines.min()),
        "max_difference": float(np.abs(found - exact).max()),
        "overlap": float(np.mean([_shared(a, b) for a, b in zip(_neighbours(found), _neighbours(exact), strict=True)])),
    }


def compare_scores(found: Floats, exact: Floats) -> dict[str, float]:
    """Rank correlation (Spearman), the largest change, also in standard deviations, and how many of the best stay."""
    _check(found, exact)
    spread = max(float(exact.std()), TINY)
    return {
        "rank_correlation": _spearman(found, exact),
        "score_error": float(np.abs(found - exact).max()) / spread,
        "max_difference": float(np.abs(found - exact).max()),
        "overlap": _shared(np.argsort(-found, kind="stable")[:BEST], np.argsort(-exact, kind="stable")[:BEST]),
    }


def _check(found: Floats, exact: Floats) -> None:
    if found.shape != exact.shape:
        raise BadInput(f"The exported model gives the shape {list(found.shape)}, its original {list(exact.shape)}.")
    if not np.isfinite(found).all():
        raise BadInput("The exported model gives numbers that are not finite. Export it in float32.")


def _neighbours(vectors: Floats) -> NDArray[np.int64]:
    """The rows of the ten nearest other texts of each text, [texts, up to 10]."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), TINY)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, : min(BEST, len(vectors) - 1)]


def _shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    return len(set(one.tolist()) & set(other.tolist())) / max(len(one), 1)


def _spearman(found: Floats, exact: Floats) -> float:
    """Pearson's correlation of the ranks; equal scores share the mean of their ranks."""
    one, other = _ranks(found), _ranks(exact)
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size else float(np.array_equal(found, exact))


def _ranks(scores: Floats) -> NDArray[np.float64]:
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places], np.float64)
