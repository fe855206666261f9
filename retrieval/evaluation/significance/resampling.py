"""Random draws over queries, in blocks that fit in memory: signs that flip, and queries drawn with replacement."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK_CELLS, BLOCK_DRAWS = 1 << 20, 1 << 12
"""Numbers of one block (8 MB as float64), and its draws: many pairs of systems multiply those."""


@dataclass(frozen=True, slots=True)
class Draws:
    """How many random draws, and the seed: the same seed gives the same draws for every pair of systems."""

    samples: int
    seed: int

    def flips(self, queries: int) -> Iterator[Floats]:
        """Blocks [draws, queries] of 0 and 1, each with probability one half."""
        rng = np.random.default_rng(self.seed)
        for size in self._sizes(queries):
            packed = rng.integers(0, 256, (size, (queries + 7) // 8), np.uint8)
            yield np.unpackbits(packed, axis=1, count=queries).astype(np.float64)

    def counts(self, queries: int) -> Iterator[Floats]:
        """Blocks [draws, queries]: how often each query was drawn when as many are drawn with replacement."""
        rng = np.random.default_rng(self.seed)
        for size in self._sizes(queries):
            drawn = rng.integers(0, queries, (size, queries)) + np.arange(size)[:, None] * queries
            yield np.bincount(drawn.ravel(), minlength=size * queries).reshape(size, queries).astype(np.float64)

    def _sizes(self, queries: int) -> Iterator[int]:
        most = max(1, min(BLOCK_DRAWS, BLOCK_CELLS // queries))
        for start in range(0, self.samples, most):
            yield min(most, self.samples - start)


def resampled_means(differences: Floats, draws: Draws) -> Floats:
    """The mean of each column over queries drawn with replacement: [queries, pairs] to [draws, pairs]."""
    return np.concatenate([counts @ differences for counts in draws.counts(len(differences))]) / len(differences)
