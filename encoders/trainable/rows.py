"""Texts of many lengths as padded rows, in passes that waste little on the padding."""

from collections.abc import Callable, Sequence

import torch

TOKENS_A_PASS = {"cpu": 4096}
TOKENS_ON_GPU = 65_536


def padded(rows: Sequence[Sequence[int]], fill: int = 0) -> torch.Tensor:
    """int64 [rows, longest], each filled up at its end."""
    width = max((len(row) for row in rows), default=0)
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows]).long().reshape(len(rows), width)


def passes(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Row numbers, longest first, in groups of at most `budget` tokens with their padding, or of one row."""
    groups: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not groups or longest * (len(groups[-1]) + 1) > budget:
            groups.append([])
            longest = lengths[row]
        groups[-1].append(row)
    return groups


def in_passes(
    lengths: Sequence[int], device: torch.device, work: Callable[[list[int]], torch.Tensor], budget: int = 0
) -> torch.Tensor:
    """What `work` gives for all rows, [rows, ...] in order, from its answers for groups of rows of like length."""
    budget = budget or TOKENS_A_PASS.get(device.type, TOKENS_ON_GPU)
    groups = passes(lengths, budget)
    if not groups:
        return work([])
    order = torch.tensor([row for group in groups for row in group])
    found = torch.cat([work(group) for group in groups])
    return found[order.argsort().to(found.device)]
