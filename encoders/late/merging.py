"""Token vectors of a text to fewer: Ward's clusters of cosine distances (Clavié et al. 2024, arXiv 2409.14683)."""

import numpy as np
from numpy.typing import NDArray

from retr.encoders.late.settings import TokenPooling
from retr.encoders.running.pooling import unit
from retr.retrieval.embeddings import Floats


def merged(vectors: Floats, pooling: TokenPooling) -> Floats:
    """[tokens, dim] to [fewer, dim]: the protected ones first, then each cluster's mean by its first token's place."""
    rest = vectors[pooling.protected :]
    wanted = max(int(len(rest) // pooling.factor), 1)
    if wanted < len(rest):
        labels = clusters(rest, wanted)
        sums = np.zeros((wanted, rest.shape[1]), np.float32)
        np.add.at(sums, labels, rest)
        means = sums / np.bincount(labels, minlength=wanted)[:, None].astype(np.float32)
        vectors = np.concatenate([vectors[: pooling.protected], means])
    return unit(vectors) if pooling.normalise else vectors


def clusters(vectors: Floats, wanted: int) -> NDArray[np.int64]:
    """The cluster of each row, int64 [rows], from 0 to `wanted` - 1, numbered by their first rows.

    The two nearest clusters become one until `wanted` are left; the distance to the new one is by Lance and Williams'
    formula for Ward's method, over distances 1 - cosine of unit vectors, squared.
    """
    rows = len(vectors)
    gaps = np.square(np.clip(1.0 - vectors @ vectors.T, 0.0, 2.0).astype(np.float64))
    np.fill_diagonal(gaps, np.inf)
    sizes, labels = np.ones(rows), np.arange(rows)
    for _ in range(rows - wanted):
        one, other = sorted(divmod(int(np.argmin(gaps)), rows))
        total = sizes + sizes[one] + sizes[other]
        new = (sizes + sizes[one]) * gaps[one] + (sizes + sizes[other]) * gaps[other] - sizes * gaps[one, other]
        gaps[one] = gaps[:, one] = new / total
        gaps[one, one] = np.inf
        gaps[other] = gaps[:, other] = np.inf
        sizes[one] += sizes[other]
        labels[labels == other] = one
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
