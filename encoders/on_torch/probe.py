"""Whether a model can take texts end to end: it is tried, and must give what it gives for each text alone."""

from collections.abc import Sequence
from typing import Any

import torch

from retr.encoders.on_torch import attention
from retr.encoders.on_torch.packing import Packing

SHORT = 5
LONGEST = 512
"""Tokens of the longest text tried; a sliding window that is wider is not put to the test."""

TOLERANCE = 1e-4
"""Greatest difference from a text alone, relative to the largest state, in float32; measured: about 1e-6."""

GROWING_ROPES = ("dynamic", "longrope")
"""Rotary positions whose frequencies depend on the longest text of the row, which a short trial cannot show."""


def packed_states(
    model: Any, ids: torch.Tensor, packing: Packing, first: int, segments: torch.Tensor | None = None
) -> torch.Tensor:
    """States [tokens, dim] of texts end to end: ids [1, tokens], positions from `first`. Differentiable.

    Of a classifier, logits [texts, labels]; see `classifying.feed_first_states`.
    """
    given = {"input_ids": ids, "position_ids": packing.positions + first, "retr_packing": packing}
    if segments is not None:
        given["token_type_ids"] = segments
    return _answer(model(**given))


def _answer(result: Any) -> torch.Tensor:
    """A classifier's logits [texts, labels], or the states [tokens, dim] of a row."""
    answer: torch.Tensor = result.logits if "logits" in result else result.last_hidden_state[0]
    return answer


def first_position(model: Any) -> int | None:
    """The number that texts' positions begin with in a row of several; None where they cannot share one.

    `model` is in float32, in evaluation mode, and uses transformers' own attention; where a number comes back it uses
    `retr_packed` from then on. Most count from 0, RoBERTa from behind its padding's number: both are tried.
    """
    own = model.config._attn_implementation
    if _grows(model.config) or not getattr(model, "_can_set_attn_implementation", lambda: True)():
        return None
    texts = trial_texts(model.config)
    try:
        with torch.inference_mode():
            alone = [_answer(model(input_ids=text[None])) for text in texts]
            attention.register()
            model.set_attn_implementation(attention.NAME)
            for first in _candidates(model.config, len(texts[0])):
                if _agrees(model, texts, torch.cat(alone), first):
                    return first
    except Exception:  # a foreign model may fail at this in any way, and then does it text by text
        model.set_attn_implementation(own)
        return None
    model.set_attn_implementation(own)
    return None


def _agrees(model: Any, texts: Sequence[torch.Tensor], alone: torch.Tensor, first: int) -> bool:
    packing = Packing.of([len(text) for text in texts])
    states = packed_states(model, torch.cat(list(texts))[None], packing, first)
    return bool((states - alone).abs().max() <= TOLERANCE * alone.abs().max())


def trial_texts(config: Any) -> list[torch.Tensor]:
    """Three texts of different tokens, none of them special: one longer than a sliding window, two of one length."""
    window = getattr(config, "sliding_window", None) or getattr(config, "local_attention", None) or 0
    most = getattr(config, "max_position_embeddings", None) or LONGEST
    long = max(SHORT + 1, min(window + 2 * SHORT, LONGEST, most - _behind_padding(config)))
    lengths = (long, SHORT, SHORT)
    special = {getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "cls", "sep")}
    kept = torch.tensor([number for number in range(min(config.vocab_size, 2000)) if number not in special])
    draw = torch.Generator().manual_seed(0)
    return [kept[torch.randint(len(kept), (length,), generator=draw)] for length in lengths]


def _candidates(config: Any, length: int) -> list[int]:
    behind = _behind_padding(config)
    most = getattr(config, "max_position_embeddings", None)
    return [0] if most is not None and behind + length > most else [0, behind]


def _behind_padding(config: Any) -> int:
    return int(getattr(config, "pad_token_id", None) or 0) + 1


def _grows(config: Any) -> bool:
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    named = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    return any(part.get("rope_type", part.get("type")) in GROWING_ROPES for part in named)
