"""What bench/encode.py asks of every encoder: many texts to vectors, one query to a vector.

A module of this folder has one function `encoder(options) -> Encoder`, which loads everything. It runs in the
interpreter of that system and may import nothing of the others.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Options = Mapping[str, Any]
"""How a system is set up, by its adapter's own names."""
MAX_TOKENS = 256
"""What the model's own folder says, and every system is held to."""


class Encoder(Protocol):
    """One system, loaded. `runtime` is what computes, in the system's own words where it has some."""

    runtime: str

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors [texts, dim], in the order of the texts."""
        ...

    def query(self, text: str) -> Floats:
        """Vector [dim] of one text that comes alone."""
        ...

    def close(self) -> None:
        """End what was started; what the process holds is counted before."""
        ...


def longest_first(texts: Sequence[str]) -> list[int]:
    """Positions of the texts, by characters."""
    return sorted(range(len(texts)), key=lambda at: -len(texts[at]))


def in_order(encode: Callable[[list[str]], Floats], texts: Sequence[str]) -> Floats:
    """`encode` asked for the longest texts first; the vectors in the order of the texts."""
    order = longest_first(texts)
    found = encode([texts[at] for at in order])
    out = np.empty_like(found)
    out[order] = found
    return out
