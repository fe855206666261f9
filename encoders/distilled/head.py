"""The head over two sentences' vectors in numpy, split so that all but the pair's own part is computed once a text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retr.encoders.distilled.shape import DseShape
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged

LENGTH = "length.value"
"""The tensor of the length at which unit vectors are read."""
PAIRS_AT_ONCE = 512
"""Pairs of one pass: 6 MB of what is between two vectors of 1,536 numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Texts on one side of pairs: their vectors [texts, dim] and, for `concat`, their part of the hidden layer."""

    vectors: Floats
    hidden: Floats

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: Any) -> "Side":
        """Some of the texts, or the same ones several times."""
        return Side(self.vectors[rows], self.hidden[rows])


@dataclass(frozen=True, slots=True, eq=False)
class DseHead:
    """Weights [inputs, outputs] of both layers. For `dot` the first is empty and the last holds a and b.

    `length` is what unit vectors are multiplied by before they are read.
    """

    shape: DseShape
    first: Floats
    first_bias: Floats
    last: Floats
    last_bias: Floats
    length: float = 1.0

    def left(self, vectors: Floats) -> Side:
        """The first texts of pairs: W1 u and the bias are computed here."""
        vectors = self._read(vectors)
        if self.shape.head == "dot":
            return Side(vectors, np.zeros((len(vectors), 0), np.float32))
        return Side(vectors, np.asarray(vectors @ self._block(0) + self.first_bias, np.float32))

    def right(self, vectors: Floats) -> Side:
        """The second texts of pairs: W2 v is computed here."""
        vectors = self._read(vectors)
        if self.shape.head == "dot":
            return Side(vectors, np.zeros((len(vectors), 0), np.float32))
        return Side(vectors, np.asarray(vectors @ self._block(1), np.float32))

    def pairs(self, left: Side, right: Side) -> Floats:
        """float32 [pairs, outputs] of row by row pairs; of an order as given, `symmetric` is the caller's."""
        found = np.empty((len(left), self.shape.outputs), np.float32)
        for at in range(0, len(left), PAIRS_AT_ONCE):
            some = slice(at, at + PAIRS_AT_ONCE)
            found[some] = self._some(left.take(some), right.take(some))
        return found

    def every(self, left: Side, right: Side) -> Floats:
        """float32 [left, right, outputs] of every text with every other."""
        if self.shape.head == "dot":
            return np.asarray(left.vectors @ right.vectors.T * self.last[0, 0] + self.last_bias, np.float32)[:, :, None]
        found = np.empty((len(left), len(right), self.shape.outputs), np.float32)
        for row in range(len(left)):
            one = left.take(slice(row, row + 1))
            for at in range(0, len(right), PAIRS_AT_ONCE):
                some = slice(at, at + PAIRS_AT_ONCE)
                found[row, some] = self._some(one, right.take(some))
        return found

    def _read(self, vectors: Floats) -> Floats:
        return vectors if self.length == 1 else np.asarray(vectors * self.length, np.float32)

    def _some(self, left: Side, right: Side) -> Floats:
        """Row by row, or one left text with every right one."""
        u, v = left.vectors, right.vectors
        if self.shape.head == "dot":
            return np.asarray((u * v).sum(axis=1)[:, None] * self.last + self.last_bias, np.float32)
        hidden = (u * v) @ self._block(2)
        hidden += np.abs(u - v) @ self._block(3)
        hidden += left.hidden
        hidden += right.hidden
        return np.asarray(np.maximum(hidden, 0) @ self.last + self.last_bias, np.float32)

    def _block(self, number: int) -> Floats:
        """The part of the first layer that reads u, v, u * v or |u - v|, [dim, hidden]."""
        dim = len(self.first) // 4
        return self.first[number * dim : (number + 1) * dim]


def read_head(tensors: Mapping[str, Floats], shape: DseShape, dim: int) -> DseHead:
    """The head of a file's tensors over vectors of `dim` numbers; Damaged where they do not fit."""
    try:
        length = float(tensors[LENGTH].reshape(())) if shape.unit else 1.0
        if shape.head == "dot":
            scale = np.exp(tensors["head.log_scale"].astype(np.float64)).astype(np.float32).reshape(1, 1)
            empty = np.zeros((0, 0), np.float32)
            return DseHead(shape, empty, empty, scale, tensors["head.bias"].reshape(1), length)
        found = DseHead(
            shape,
            np.ascontiguousarray(tensors["head.first.weight"].T),
            tensors["head.first.bias"],
            np.ascontiguousarray(tensors["head.last.weight"].T),
            tensors["head.last.bias"],
            length,
        )
    except KeyError as error:
        raise Damaged(f"The head lacks the tensor {error}. Get the folder again.") from None
    if found.first.shape != (4 * dim, shape.hidden) or found.last.shape != (shape.hidden, shape.outputs):
        raise Damaged(f"The head's shapes do not fit vectors of {dim} numbers. Get the folder again.")
    return found
