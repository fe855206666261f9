"""A context read once, and candidates that look at what it left in each layer: the mask one_way without its square."""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from retr.encoders.trainable.backbone import Backbone
from retr.encoders.trainable.masks import Layout

NAME = "retr_context"


class Context:
    """Keys and values [1, heads, tokens, dim] of one context in each attention layer, with gradients if recorded."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._layers: dict[torch.nn.Module, tuple[torch.Tensor, torch.Tensor]] = {}

    def __len__(self) -> int:
        """Layers kept."""
        return len(self._layers)

    def keep(self, layer: torch.nn.Module, key: torch.Tensor, value: torch.Tensor) -> None:
        """Remember what the layer gave for the context."""
        self._layers[layer] = (key, value)

    def before(self, layer: torch.nn.Module, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The context's keys and values in front of those of [candidates, heads, tokens, dim]."""
        kept = self._layers[layer]
        return tuple(
            torch.cat([one.expand(len(own), -1, -1, -1), own], 2) for one, own in zip(kept, (key, value), strict=True)
        )


def read_context(backbone: Backbone, ids: list[int], layout: Layout) -> Context:
    """The context of one text. The model computes attention by SDPA from then on, whichever it had before."""
    if backbone.model.config._attn_implementation != NAME:
        _register()
        backbone.model.set_attn_implementation(NAME)
    context = Context(len(ids))
    backbone.masked_states(torch.tensor([ids], device=backbone.device), layout, retr_recorded=context)
    return context


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **given: Any,
) -> tuple[torch.Tensor, None]:
    """[rows, heads, tokens, dim] three times to [rows, tokens, heads, dim]. `given` is what transformers hands on."""
    recorded: Context | None = given.get("retr_recorded")
    context: Context | None = given.get("retr_context")
    if recorded is not None:
        recorded.keep(module, key, value)
    if context is not None:
        key, value = context.before(module, key, value)
    dropout = given.get("dropout") or 0.0
    found = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=given.get("scaling")
    )
    return found.transpose(1, 2), None


def _register() -> None:
    """Make `retr_context` known to transformers; harmless when done twice."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
