"""Texts of many lengths as padded rows, in passes that waste little on the padding, or as one row without any."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from retr.encoders.on_torch.packing import Packing
from retr.encoders.on_torch.probe import packed_states

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


def end_to_end(model: Any, ids: Sequence[Sequence[int]], first: int, *, segments: bool) -> torch.Tensor:
    """[texts, longest, dim] of a model that takes texts end to end; in the padding, which was never computed, zeros.

    All but attention is computed for a token alone; texts of one length stand together and are attended to together.
    """
    order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    lengths = [len(ids[row]) for row in order]
    flat = torch.tensor([list(chain.from_iterable(ids[row] for row in order))], device=model.device)
    kinds = torch.zeros_like(flat) if segments else None
    parts = torch.split(packed_states(model, flat, Packing.of(lengths, model.device), first, kinds), lengths)
    places = sorted(range(len(order)), key=lambda place: order[place])
    return pad_sequence([parts[place] for place in places], batch_first=True)
