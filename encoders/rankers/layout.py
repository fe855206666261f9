"""A context and its candidates in one row, as arrays: the twin of `trainable.masks` for runtimes other than torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats

Mask = Literal["arrow", "one_way"]
Positions = Literal["shared", "unique"]
Numbers = NDArray[np.integer[Any]]

PADDING = -1
"""Block of the tokens that fill a row. The context's is 0, the candidates' 1, 2, and so on."""

MASKED = -1e9
"""Added to the score of a token that is not seen; its share after the softmax is exactly zero."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """int64 [rows, tokens] four times, and the mask float32 [rows, 1, tokens, tokens] that is added to attention."""

    ids: Ids
    positions: Ids
    segments: Ids
    blocks: Ids
    mask: Floats

    def inputs(self, names: Sequence[str]) -> dict[str, Any]:
        """What an ONNX session is given, by its inputs' names."""
        given = {
            "input_ids": self.ids,
            "position_ids": self.positions,
            "token_type_ids": self.segments,
            "attention_bias": self.mask,
        }
        return {name: given[name] for name in names}


def places(lengths: Sequence[int], positions: Positions) -> Ids:
    """The positions of one row's tokens, int64 [tokens]: candidates all count on from the context, or after another."""
    if positions == "unique":
        return np.arange(sum(lengths), dtype=np.int64)
    starts = [0, *[lengths[0]] * (len(lengths) - 1)]
    return np.concatenate([np.arange(start, start + size) for start, size in zip(starts, lengths, strict=True)])


def allowed(blocks: Ids, mask: Mask) -> NDArray[np.bool_]:
    """Bool [rows, tokens, tokens], true where the token of the second axis looks at that of the third.

    Tokens that fill a row are seen by no other, and see themselves.
    """
    looks, seen = blocks[:, :, None], blocks[:, None, :]
    rule = (looks == seen) | (seen == 0)
    if mask == "arrow":
        rule |= looks == 0
    found: NDArray[np.bool_] = (rule & (looks != PADDING) & (seen != PADDING)) | np.eye(blocks.shape[1], dtype=bool)
    return found


def lay_rows(
    rows: Sequence[Sequence[Numbers]], mask: Mask, positions: Positions, *, fill: int = 0, width: int = 0
) -> Rows:
    """The layout of rows, each given as its blocks' tokens, the context's first; filled up to `width` or the longest.

    `fill` is the token that pads.
    """
    width = max([width, *(sum(map(len, row)) for row in rows)])
    ids = np.full((len(rows), width), fill, np.int64)
    where, blocks = np.zeros_like(ids), np.full_like(ids, PADDING)
    for number, row in enumerate(rows):
        lengths = [len(block) for block in row]
        size = sum(lengths)
        ids[number, :size] = np.concatenate(row)
        where[number, :size] = places(lengths, positions)
        blocks[number, :size] = np.repeat(np.arange(len(row)), lengths)
    bias = np.where(allowed(blocks, mask), np.float32(0), np.float32(MASKED))[:, None]
    return Rows(ids, where, (blocks > 0).astype(np.int64), blocks, bias)
