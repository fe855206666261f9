"""How alike vectors are, with gradients: every row with every row, or row by row."""

from typing import Literal

from torch import Tensor
from torch.nn.functional import normalize

Similarity = Literal["cosine", "dot"]


def every_pair(left: Tensor, right: Tensor, similarity: Similarity) -> Tensor:
    """[left, right] from float [left, dim] and [right, dim]."""
    if similarity == "cosine":
        left, right = normalize(left, dim=-1), normalize(right, dim=-1)
    return left @ right.T


def row_by_row(left: Tensor, right: Tensor, similarity: Similarity) -> Tensor:
    """[rows] from two float [rows, dim]."""
    if similarity == "cosine":
        left, right = normalize(left, dim=-1), normalize(right, dim=-1)
    return (left * right).sum(dim=-1)
