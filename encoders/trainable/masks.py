"""A context and its candidates in one row: who looks at whom, at which positions, for every kind of encoder.

Uni-Encoder (Song et al. 2023, arXiv 2106.01263) sees the paradigms as masks of one transformer; `one_way` is a change
of its `arrow`, in which the context reads no candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from retr.retrieval.errors import BadInput

Mask = Literal["diagonal", "square", "arrow", "one_way", "light_arrow"]
"""diagonal: each block alone (bi). square: all see all (cross; with several candidates, concat-cross).

arrow: candidates see the context and themselves, the context sees all (uni): a candidate's score depends on the others.
one_way: as arrow, but the context sees itself alone: a candidate's score does not depend on the others.
light_arrow: diagonal in the encoder; context and candidates meet in an attention on top (poly).
"""

Positions = Literal["shared", "unique", "own"]
"""Candidates count on from the context's end, all alike (shared), or one after the other (unique), or from 0 (own)."""

PADDING = -1
"""Block of the tokens that fill a row. The context's is 0, the candidates' 1, 2, and so on."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Rows of blocks. `mask` float [rows, 1, L, L] is added to attention scores: 0, or the dtype's least number.

    `positions`, `segments` (context 0, candidates 1) and `blocks` are int64 [rows, L]. Where rows see more than
    themselves, the mask is [rows, 1, L, S] and `seen` the positions of what is seen, [rows, S].
    """

    mask: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    blocks: torch.Tensor
    seen: torch.Tensor | None = None

    def to(self, device: torch.device) -> "Layout":
        """The same on a device."""
        mask, positions, segments = self.mask.to(device), self.positions.to(device), self.segments.to(device)
        return Layout(
            mask, positions, segments, self.blocks.to(device), None if self.seen is None else self.seen.to(device)
        )


def lay_out(
    lengths: Sequence[Sequence[int]], mask: Mask, *, positions: Positions = "shared", dtype: torch.dtype = torch.float32
) -> Layout:
    """The layout of rows that are each given as their blocks' lengths in tokens, the context's first.

    Blocks may be empty, rows may differ in everything; each is filled up to the longest.
    """
    width = max((sum(row) for row in lengths), default=0)
    rows = [_row(row, positions, width) for row in lengths]
    blocks = torch.tensor([row[0] for row in rows], dtype=torch.int64).reshape(len(rows), width)
    places = torch.tensor([row[1] for row in rows], dtype=torch.int64).reshape(len(rows), width)
    return Layout(additive(allowed(blocks, mask), dtype)[:, None], places, (blocks > 0).long(), blocks)


def lay_out_after(context: int, lengths: Sequence[int], *, dtype: torch.dtype = torch.float32) -> Layout:
    """Candidates of one_way, each in a row of its own that also sees a context of that many tokens, kept elsewhere."""
    whole = lay_out([[context, length] for length in lengths], "one_way", dtype=dtype)
    positions, segments, blocks = (part[:, context:] for part in (whole.positions, whole.segments, whole.blocks))
    return Layout(whole.mask[:, :, context:], positions, segments, blocks, whole.positions)


def allowed(blocks: torch.Tensor, mask: Mask) -> torch.Tensor:
    """Bool [rows, L, L], true where the token of the second axis looks at that of the third, from blocks [rows, L].

    Tokens that fill a row are seen by no other, and see themselves, so that no row of a softmax is empty.
    """
    if mask not in get_args(Mask):
        raise BadInput(f"A mask is {', '.join(get_args(Mask))}; got {mask!r}.")
    looks, seen = blocks[:, :, None], blocks[:, None, :]
    within = looks == seen
    rule = {
        "diagonal": within,
        "light_arrow": within,
        "square": torch.ones_like(within),
        "arrow": within | (looks == 0) | (seen == 0),
        "one_way": within | (seen == 0),
    }[mask]
    itself = torch.eye(blocks.shape[1], dtype=torch.bool, device=blocks.device)
    return (rule & (looks != PADDING) & (seen != PADDING)) | itself


def additive(looks: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The float mask of a bool one: a bool one is ignored by transformers' eager attention, ones and zeros are wrong.

    The least number of the dtype, not -inf: it stays finite where a model adds a bias of its own to it.
    """
    return torch.zeros(looks.shape, dtype=dtype, device=looks.device).masked_fill(~looks, torch.finfo(dtype).min)


def _row(lengths: Sequence[int], positions: Positions, width: int) -> tuple[list[int], list[int]]:
    """Blocks and positions of one row, filled up to `width`."""
    blocks: list[int] = []
    places: list[int] = []
    context = lengths[0] if lengths else 0
    for block, length in enumerate(lengths):
        start = {"shared": context if block else 0, "unique": len(places), "own": 0}[positions]
        blocks += [block] * length
        places += range(start, start + length)
    fill = width - len(blocks)
    return blocks + [PADDING] * fill, places + [0] * fill
