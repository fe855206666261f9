"""What encoders give: one vector a text, or one a token."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.errors import BadInput, Mismatch

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """One vector a text: float32, [texts, dim]."""

    values: Floats

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            raise BadInput(
                f"Vectors need a float32 array [texts, dim]; got {self.values.dtype} {list(self.values.shape)}."
            )

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self.values.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """One vector a token, texts end to end: values float32 [tokens, dim], offsets int64 [texts + 1]; never padded."""

    values: Floats
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            raise BadInput(
                f"TokenVectors need float32 values [tokens, dim]; got {self.values.dtype} {list(self.values.shape)}."
            )
        ends = self.offsets
        if ends.ndim != 1 or ends.dtype != np.int64 or len(ends) == 0 or ends[0] != 0 or (np.diff(ends) < 0).any():
            raise BadInput("TokenVectors need rising int64 offsets [texts + 1] that start at 0.")
        if ends[-1] != len(self.values):
            raise Mismatch(f"The last offset is {int(ends[-1])}, but there are {len(self.values)} token vectors.")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[Floats]:
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.values[start:end]

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self.values.shape[1])


Embeddings = Vectors | TokenVectors


def check_finite(vectors: Embeddings) -> None:
    """BadInput when a number is NaN or infinite: such a vector would be found for every query, or for none."""
    if not np.isfinite(vectors.values).all():
        row = int(np.argmax(~np.isfinite(vectors.values).all(axis=1)))
        raise BadInput(f"Vector {row} holds NaN or infinite numbers. Check the encoder and the text it was given.")
