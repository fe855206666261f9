"""Rows of every process, so that each one's positives are the others' negatives; gradients go back to their owner."""

from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

Item = TypeVar("Item")


def processes() -> int:
    """How many train together; 1 without a process group."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return distributed.get_rank() if processes() > 1 else 0


def gathered_lists(items: list[Item]) -> list[list[Item]]:
    """The lists of plain values of every process, by rank."""
    if processes() == 1:
        return [items]
    found: list[Any] = [None] * processes()
    distributed.all_gather_object(found, items)
    return found


class _Gather(torch.autograd.Function):
    """Forward: all rows, by rank. Backward: the sum over processes of the gradient of this process's rows.

    The sum is what the loss summed over all processes asks for; with DDP's mean over processes afterwards, the
    parameters get the gradient of the mean loss (Chen et al. 2020, SimCLR, section 2.3, global batch).
    """

    @staticmethod
    def forward(context: Any, rows: Tensor, counts: list[int]) -> Tensor:
        widest = max(counts)
        padded = rows.new_zeros(widest, *rows.shape[1:])
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(found, padded)
        context.counts = counts
        return torch.cat([part[:count] for part, count in zip(found, counts, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        whole = gradients[0].contiguous()
        distributed.all_reduce(whole)
        start = sum(context.counts[: rank()])
        return whole[start : start + context.counts[rank()]], None


def gathered(rows: Tensor) -> Tensor:
    """[rows of all processes, dim], by rank; itself with one process."""
    if processes() == 1:
        return rows
    counts = [count for (count,) in gathered_lists([len(rows)])]
    whole: Tensor = _Gather.apply(rows, counts)  # type: ignore[no-untyped-call]  # torch leaves apply untyped.
    return whole
