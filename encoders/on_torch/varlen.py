"""One GPU kernel for attention over texts of many lengths, where torch has it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

from retr.encoders.on_torch.packing import Packing

NEEDED = {"scale", "window_size", "enable_gqa"}
"""Arguments of torch's `varlen_attn` that are used here; its first releases lack them."""

OLDEST_GPU = (8, 0)
"""Compute capability from which FlashAttention 2 runs: Ampere."""

MOST_DIM = 256


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides who looks at whom within a text, and how scores are scaled (None: by the root of the dim).

    A sliding window of W reaches W - 1 tokens back and, where not causal, W - 1 ahead.
    """

    causal: bool
    window: int | None = None
    scale: float | None = None
    dropout: float = 0.0


def varlen_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packing: Packing, terms: Terms
) -> torch.Tensor | None:
    """[1, heads, tokens, dim] three times to [1, tokens, heads, dim]; None where the kernel cannot be used.

    FlashAttention 2 (arXiv 2307.08691) in its form for variable lengths: half precision on a GPU alone.
    """
    kernel = _kernel_for(query, value, terms)
    if kernel is None:
        return None
    reach = -1 if terms.window is None else terms.window - 1
    states: torch.Tensor = kernel(
        *(tensor[0].transpose(0, 1) for tensor in (query, key, value)),
        packing.offsets,
        packing.offsets,
        packing.longest,
        packing.longest,
        scale=terms.scale,
        window_size=(reach, 0 if terms.causal else reach),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return states[None]


def _kernel_for(query: torch.Tensor, value: torch.Tensor, terms: Terms) -> Callable[..., Any] | None:
    dim = query.shape[-1]
    half = query.dtype in (torch.float16, torch.bfloat16)
    fits = half and dim == value.shape[-1] and dim % 8 == 0 and dim <= MOST_DIM and not terms.dropout
    return _kernel(query.device) if query.is_cuda and fits else None


@cache
def _kernel(device: torch.device) -> Callable[..., Any] | None:
    """torch's own kernel, when this torch has it and this GPU can run it."""
    if not _signature_fits() or torch.cuda.get_device_capability(device) < OLDEST_GPU:
        return None
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn


def _signature_fits() -> bool:
    if find_spec("torch.nn.attention.varlen") is None:
        return False
    from torch.nn.attention.varlen import varlen_attn

    return set(inspect.signature(varlen_attn).parameters) >= NEEDED
