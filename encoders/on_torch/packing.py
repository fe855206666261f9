"""Texts end to end in one row: where each begins, its positions, and its neighbours of the same length."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring texts of equal length: where the first begins in the row, how many there are, tokens in each."""

    start: int
    texts: int
    length: int

    @property
    def tokens(self) -> slice:
        """Their place in the row."""
        return slice(self.start, self.start + self.texts * self.length)


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """A row [1, tokens] of texts. Texts that are sorted by length make the fewest runs, and so the least work."""

    runs: tuple[Run, ...]
    offsets: torch.Tensor
    """int32 [texts + 1] on the device: text n lies in offsets[n] to offsets[n + 1]."""
    positions: torch.Tensor
    """int64 [1, tokens] on the device: each text's count from 0."""
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device | None = None) -> "Packing":
        """The row of texts of these lengths, each at least 1, in this order."""
        runs, start = [], 0
        for length, group in groupby(lengths):
            runs.append(Run(start, len(list(group)), length))
            start += runs[-1].texts * length
        ends = torch.tensor([0, *lengths]).cumsum(0)
        positions = torch.arange(start) - torch.repeat_interleave(ends[:-1], ends.diff())
        return cls(
            tuple(runs), sent(ends.to(torch.int32), device), sent(positions[None], device), max(lengths, default=0)
        )


def sent(tensor: torch.Tensor, device: torch.device | None) -> torch.Tensor:
    """The tensor on the device; to a GPU from page-locked memory, so that the caller need not wait for the copy."""
    if device is None or device.type == "cpu":
        return tensor
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
