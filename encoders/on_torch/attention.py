"""Attention within each text of a row: the function `retr_packed` that transformers' models call for it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from retr.encoders.on_torch.packing import Packing, Run
from retr.encoders.on_torch.varlen import Terms, varlen_attention
from retr.retrieval.errors import BadInput

NAME = "retr_packed"

UNKNOWN_TERMS = ("position_bias", "softcap", "s_aux", "cache")
"""What some models add to attention that this function does not compute."""


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **given: Any,
) -> tuple[torch.Tensor, None]:
    """[1, heads, tokens, dim] three times (keys and values may have fewer heads) to [1, tokens, heads, dim].

    `given` holds what transformers hands to every attention function, and `retr_packing`, the row's Packing. Without
    one, the first axis is texts of equal length, or padded ones with their mask. Causal where the module says so.
    """
    odd = [name for name in UNKNOWN_TERMS if given.get(name) is not None]
    if odd:
        raise BadInput(f"{type(module).__name__} uses {', '.join(odd)} in its attention, which texts end to end lack.")
    terms = _terms(module, given)
    packing: Packing | None = given.get("retr_packing")
    if packing is None:
        return _attend(query, key, value, attention_mask, terms).transpose(1, 2), None
    if attention_mask is not None:
        raise BadInput("Texts end to end have no padding, and so take no mask. Leave attention_mask out.")
    states = varlen_attention(query, key, value, packing, terms)
    if states is None:
        states = torch.cat([_run(query, key, value, run, terms) for run in packing.runs], dim=1)
    return states, None


def _terms(module: torch.nn.Module, given: Mapping[str, Any]) -> Terms:
    asked = given.get("is_causal")
    causal = getattr(module, "is_causal", True) if asked is None else asked
    return Terms(bool(causal), given.get("sliding_window"), given.get("scaling"), given.get("dropout") or 0.0)


def _run(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, run: Run, terms: Terms) -> torch.Tensor:
    """The run's part of the row as texts of equal length, to [1, its tokens, heads, dim]."""
    parts = (tensor[0, :, run.tokens] for tensor in (query, key, value))
    texts = [part.reshape(part.shape[0], run.texts, run.length, -1).transpose(0, 1) for part in parts]
    return _attend(texts[0], texts[1], texts[2], None, terms).transpose(1, 2).flatten(0, 1)[None]


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, terms: Terms
) -> torch.Tensor:
    """[texts, heads, length, dim]; a mask given holds all there is to know of who looks at whom."""
    mask = _window_mask(query, terms) if mask is None else mask
    return scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=terms.dropout,
        is_causal=terms.causal and mask is None,
        scale=terms.scale,
        enable_gqa=key.shape[1] != query.shape[1],
    )


def _window_mask(query: torch.Tensor, terms: Terms) -> torch.Tensor | None:
    """[length, length], true where a token may look; None where the window is no limit for texts this short."""
    length, window = query.shape[2], terms.window
    if window is None or length <= window:
        return None
    place = torch.arange(length, device=query.device)
    back = place[:, None] - place[None, :]
    return (back >= 0) & (back < window) if terms.causal else back.abs() < window


def register() -> None:
    """Make `retr_packed` known to transformers; harmless when done twice."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    def mask_of_padding(*args: Any, **kwargs: Any) -> torch.Tensor | None:
        """The mask of a padded batch. Without padding `packed_attention` itself knows who may look at whom."""
        if kwargs.get("attention_mask") is None:
            return None
        whole = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
        return sdpa_mask(*args, **{**kwargs, **whole})

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, mask_of_padding)
