"""States of padded texts to one vector a text, with gradients: the same poolings as `running.pooling`."""

from collections.abc import Callable

import torch

Pooling = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _cls(states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    first = kept.int().argmax(1)
    return states[torch.arange(len(states), device=states.device), first]


def _last(states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    place = torch.arange(kept.shape[1], device=kept.device)
    last = (kept * place).argmax(1)
    return states[torch.arange(len(states), device=states.device), last]


def _mean(states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return _sum(states, kept) / kept.sum(1, keepdim=True)


def _mean_sqrt_len(states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return _sum(states, kept) / kept.sum(1, keepdim=True).sqrt()


def _max(states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(~kept[:, :, None], torch.finfo(states.dtype).min).amax(1)


def _weighted_mean(states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Weights 1, 2, … by position (Muennighoff 2022, SGPT, arXiv 2202.08904); tokens left out keep their positions."""
    weights = kept * torch.arange(1, kept.shape[1] + 1, device=kept.device, dtype=states.dtype)
    return (states * weights[:, :, None]).sum(1) / weights.sum(1, keepdim=True)


def _sum(states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """A product with zeros would keep what is not finite in the padding, and its gradient."""
    return states.masked_fill(~kept[:, :, None], 0.0).sum(1)


POOLINGS: dict[str, Pooling] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
"""Name, as sentence-transformers writes it, to (states [texts, longest, dim], which are pooled [texts, longest])."""


class AttentionPooling(torch.nn.Module):
    """`running.pooling.attend` with a query that learns; it begins at zero, which is the mean."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = torch.nn.Parameter(torch.zeros(dim))

    def forward(self, states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """As a `Pooling`."""
        logits: torch.Tensor = states @ (self.query / len(self.query) ** 0.5)
        weights = logits.masked_fill(~kept, torch.finfo(logits.dtype).min).softmax(1)
        return (states.masked_fill(~kept[:, :, None], 0.0) * weights[:, :, None]).sum(1)


def kept_tokens(lengths: list[int], skip: int, device: torch.device) -> torch.Tensor:
    """Bool [texts, longest], true for what is pooled: no padding, and not the first `skip` unless nothing were left."""
    place = torch.arange(max(lengths, default=0), device=device)
    ends = torch.tensor(lengths, device=device)
    starts = torch.minimum(torch.full_like(ends, skip), (ends - 1).clamp(min=0))
    return (place >= starts[:, None]) & (place < ends[:, None])
