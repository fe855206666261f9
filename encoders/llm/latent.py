"""Learned pooling: a few latent queries look at a text's tokens, or at what every layer gave for it."""

import torch
from torch.nn.functional import gelu, scaled_dot_product_attention

from retr.encoders.llm.settings import LatentShape

WIDER = 4
"""Times wider in the feed-forward part, before its gate."""


class LatentPooling(torch.nn.Module):
    """Tang & Yang 2024 (arXiv 2409.02727), section 3: Y = Z + Attn(LN(Z), LN(X + W)); Y = Y + FFN(LN(Y)); its mean.

    Z [latents, dim] are learned queries, W [layers, dim] tells layers apart (none over tokens), the FFN is GEGLU; no
    biases but the norms'. Unlike there, values and output begin as identity where the heads make up `dim`, and the FFN
    at nought: the pooling begins near the mean of the normed states instead of at random.
    """

    def __init__(self, dim: int, shape: LatentShape, layers: int = 0) -> None:
        super().__init__()
        inner = shape.inner(dim)
        self.heads = shape.heads
        self.latents = torch.nn.Parameter(torch.randn(shape.latents, dim) * 0.02)
        self.layers = torch.nn.Parameter(torch.zeros(layers, dim)) if layers else None
        self.norm_latents, self.norm_states, self.norm_found = (torch.nn.LayerNorm(dim) for _ in range(3))
        self.query, self.key, self.value = (torch.nn.Linear(dim, inner, bias=False) for _ in range(3))
        self.out = torch.nn.Linear(inner, dim, bias=False)
        self.up = torch.nn.Linear(dim, 2 * WIDER * dim, bias=False)
        self.down = torch.nn.Linear(WIDER * dim, dim, bias=False)
        torch.nn.init.zeros_(self.down.weight)
        if inner == dim:
            torch.nn.init.eye_(self.value.weight)
            torch.nn.init.eye_(self.out.weight)

    def forward(self, states: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        """[texts, tokens or layers, dim], and bool [texts, tokens] of what counts, to [texts, dim]."""
        states = states if self.layers is None else states + self.layers
        seen = self.norm_states(states)
        query = self._split(self.query(self.norm_latents(self.latents))[None].expand(states.shape[0], -1, -1))
        key, value = self._split(self.key(seen)), self._split(self.value(seen))
        mask = None if kept is None else kept[:, None, None, :]
        looked = scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        found = self.latents + self.out(looked)
        wide, gate = self.up(self.norm_found(found)).chunk(2, dim=-1)
        pooled: torch.Tensor = (found + self.down(wide * gelu(gate))).mean(1)
        return pooled

    def _split(self, values: torch.Tensor) -> torch.Tensor:
        """[texts, rows, inner] to [texts, heads, rows, inner / heads]."""
        return values.reshape(*values.shape[:2], self.heads, -1).transpose(1, 2)


def latent_parameters(dim: int, shape: LatentShape, layers: int = 0) -> int:
    """How many numbers a pooling learns: Z, W, four projections, three norms, and the gated feed-forward."""
    projections = 4 * dim * shape.inner(dim)
    return shape.latents * dim + layers * dim + projections + 6 * dim + 3 * WIDER * dim * dim
