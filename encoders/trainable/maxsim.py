"""MaxSim with gradients and in bounded memory: padding never matches, whatever stands in it."""

from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

NUMBERS_A_CHUNK = 1 << 24
"""Similarities held at once, 64 MiB in float32; those of more documents are computed again going backward."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenTensors:
    """Texts' token vectors padded to the longest: float [texts, longest, dim]; `kept` bool [texts, longest] count."""

    vectors: torch.Tensor
    kept: torch.Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    def rows(self, rows: slice | list[int]) -> "TokenTensors":
        """Some of the texts."""
        return TokenTensors(self.vectors[rows], self.kept[rows])


def every_maxsim(
    queries: TokenTensors, documents: TokenTensors, *, mean: bool = False, numbers: int = NUMBERS_A_CHUNK
) -> torch.Tensor:
    """[queries, documents]: the sum over a query's tokens of the greatest similarity (Khattab & Zaharia 2020, eq. 3).

    With `mean` over their number. At least in float32, also under mixed precision. At most `numbers` similarities, or
    those of one document, are in memory at once.
    """
    each = max(1, queries.kept.numel() * documents.kept.shape[1])
    size = max(1, numbers // each)
    parts = []
    for start in range(0, len(documents), size):
        part = documents.rows(slice(start, start + size))
        given = (queries.vectors, queries.kept, part.vectors, part.kept, mean)
        again = torch.is_grad_enabled() and size < len(documents)
        parts.append(checkpoint(_scores, *given, use_reentrant=False) if again else _scores(*given))
    return torch.cat(parts, dim=1) if parts else queries.vectors.new_zeros(len(queries), 0)


def _scores(
    queries: torch.Tensor, asked: torch.Tensor, documents: torch.Tensor, kept: torch.Tensor, mean: bool
) -> torch.Tensor:
    """[queries, documents] of [queries, m, dim] and [documents, n, dim], of which `asked` and `kept` count."""
    with torch.autocast(queries.device.type, enabled=False):
        left, right = counted(queries, asked), counted(documents, kept)
        found = torch.einsum("qmd,cnd->qcmn", left, right)
        best = found.masked_fill(~kept[None, :, None, :], -torch.inf).max(3).values
        total = best.masked_fill(~asked[:, None, :], 0.0).sum(2)
        return total / asked.sum(1)[:, None].to(total.dtype) if mean else total


def counted(vectors: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """At least float32, zeros in the padding: a product with what is not finite would be so too, and its gradient."""
    return vectors.to(torch.promote_types(vectors.dtype, torch.float32)).masked_fill(~kept[:, :, None], 0.0)
