"""Texts as padded rows of a decoder, with positions and a mask of their own: either side, either direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from retr.encoders.trainable.masks import additive

Side = Literal["right", "left"]
SLIDING = "sliding_attention"


@dataclass(frozen=True, slots=True, eq=False)
class PaddedRows:
    """`tokens` and `positions` int64 [texts, longest], `real` bool [texts, longest]; positions count real tokens."""

    tokens: torch.Tensor
    real: torch.Tensor
    positions: torch.Tensor

    @classmethod
    def of(cls, ids: Sequence[Sequence[int]], fill: int, device: torch.device, side: Side = "right") -> "PaddedRows":
        """Rows filled up at one side."""
        width = max((len(row) for row in ids), default=0)
        gaps = [[fill] * (width - len(row)) for row in ids]
        marks = [[True] * len(row) for row in ids]
        blanks = [[False] * len(gap) for gap in gaps]
        if side == "right":
            tokens = [[*row, *gap] for row, gap in zip(ids, gaps, strict=True)]
            real = [[*mark, *blank] for mark, blank in zip(marks, blanks, strict=True)]
        else:
            tokens = [[*gap, *row] for row, gap in zip(ids, gaps, strict=True)]
            real = [[*blank, *mark] for mark, blank in zip(marks, blanks, strict=True)]
        mask = torch.tensor(real, dtype=torch.bool).reshape(len(ids), width)
        places = (mask.long().cumsum(1) - 1).clamp(min=0)
        numbers = torch.tensor(tokens, dtype=torch.int64).reshape(len(ids), width)
        return cls(numbers.to(device), mask.to(device), places.to(device))

    def looks(self, *, causal: bool, window: int = 0, stops: torch.Tensor | None = None) -> torch.Tensor:
        """bool [texts, longest, longest], who looks at whom. With a window, at that many tokens back, itself included.

        With `stops`, int64 [texts], tokens behind that position see none before it (LLM-QL's Attention Stop).
        What fills a row is seen by none, and sees itself, so that no row of a softmax is empty.
        """
        seen = self.real[:, None, :] & self.real[:, :, None]
        back = self.positions[:, :, None] - self.positions[:, None, :]
        if causal:
            seen = seen & (back >= 0)
        if window:
            seen = seen & (back < window) & (back > -window)
        if stops is not None:
            at, places = stops[:, None, None], self.positions
            seen = seen & ~((places[:, :, None] > at) & (places[:, None, :] < at))
        return seen | torch.eye(self.tokens.shape[1], dtype=torch.bool, device=self.tokens.device)


def mask_for(
    config: Any,
    rows: PaddedRows,
    dtype: torch.dtype,
    *,
    causal: bool,
    window: int,
    stops: torch.Tensor | None = None,
) -> Any:
    """The float mask [texts, 1, longest, longest] to add, 0 or the dtype's least number; one a kind of layer.

    A mask of our own stands above what the config says, in every thread for itself. Only sliding layers of a causal
    run keep to the model's `window`: looking both ways, all of the text is seen.
    """
    kinds = set(getattr(config, "layer_types", None) or ())

    def made(width: int) -> torch.Tensor:
        return additive(rows.looks(causal=causal, window=width if causal else 0, stops=stops), dtype)[:, None]

    if len(kinds) > 1:
        return {kind: made(window if kind == SLIDING else 0) for kind in kinds}
    return made(window)
