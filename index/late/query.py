"""One query's tokens as the kernels take them, with what is looked up for each centroid."""

from functools import cached_property

import numpy as np

from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import Bytes, Kernels, Products, Rows, lanes_of
from retr.retrieval.embeddings import Floats


class PreparedQuery:
    """A query of one or more tokens, float32 [tokens, dim], rounded to numbers from -127 to 127 of one step.

    Whole numbers times `scale` are similarities. A query may be shared between the parts of an index, all of one codec.
    """

    def __init__(self, values: Floats, codec: Codec, kernels: Kernels) -> None:
        self.values, self._codec, self._kernels = values, codec, kernels
        step = float(np.abs(values).max(initial=0)) / 127
        self.numbers = np.rint(values / np.float32(step or 1)).astype(np.int8)
        self.scale = step * codec.step

    def __len__(self) -> int:
        return len(self.numbers)

    def scored(self, whole: Rows, documents: Rows) -> tuple[Floats, Rows]:
        """Documents with their scores, from whole numbers."""
        return (whole * self.scale).astype(np.float32), documents

    @cached_property
    def products(self) -> Products:
        """Inner products with the centroids: int32 [centroids, lanes]."""
        return self._kernels.products(self.numbers, self._codec.centroids)

    @cached_property
    def bases(self) -> Products:
        """What a token's similarity begins with: [centroids, lanes], or [1, lanes] with 8 bits."""
        if self._codec.bits != 8:
            return self._tables[0]
        bases = np.zeros((1, lanes_of(len(self))), np.int32)
        bases[0, : len(self)] = -self._codec.zero * self.numbers.sum(axis=1, dtype=np.int32)
        return bases

    @property
    def table(self) -> Bytes:
        """The centroids' products as bytes, for the scan: [centroids, wide]."""
        return self._tables[1]

    def nearest(self, count: int) -> Rows:
        """The centroids that are among the `count` nearest of any query token, rising."""
        products = self.products[:, : len(self)]
        if count >= len(products):
            return np.arange(len(products))
        return np.unique(np.argpartition(-products, count, axis=0)[:count])

    @cached_property
    def _tables(self) -> tuple[Products, Bytes]:
        return self._kernels.tables(self.numbers, self.products, self._codec.gain, self._codec.zero)
