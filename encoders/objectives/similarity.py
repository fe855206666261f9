"""How alike vectors are, with gradients: every row with every row, or row by row."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

Similarity = Literal["cosine", "dot"]


def every_pair(left: Tensor, right: Tensor, similarity: Similarity) -> Tensor:
    """[left, right] from float [left, dim] and [right, dim].

    At least in float32 under mixed precision too: a temperature of 0.05 would multiply bfloat16's error by twenty.
    """
    with torch.autocast(left.device.type, enabled=False):
        left, right = _prepared(left, similarity), _prepared(right, similarity)
        return left @ right.T


def row_by_row(left: Tensor, right: Tensor, similarity: Similarity) -> Tensor:
    """[rows] from two float [rows, dim], at least in float32."""
    return (_prepared(left, similarity) * _prepared(right, similarity)).sum(dim=-1)


def _prepared(rows: Tensor, similarity: Similarity) -> Tensor:
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    return normalize(rows, dim=-1) if similarity == "cosine" else rows
