"""A trial at loading: does a decoder really look the way it is told to, over all of a text? Some silently do not."""

from collections.abc import Callable
from typing import Any

import torch

from retr.encoders.llm.settings import Direction
from retr.retrieval.errors import BadInput

States = Callable[[torch.Tensor], torch.Tensor]
"""Token numbers int64 [texts, tokens] to states [texts, tokens, dim]."""

LEAK = 1e-6
"""Of the largest state: where a token that may not be seen is changed, a mask that is kept leaves nothing."""

SEEN = 1e-7
"""Of the largest state: a change at the end that moves the first token by less is not seen. float32 rounds at 6e-8."""

SHORT, LONGEST = 12, 4096


def prove_direction(states: States, model: Any, direction: Direction, window: int, longest: int) -> None:
    """BadInput unless a change of the last token changes the first one's state if, and only if, both directions count.

    Both ways the text is longer than the model's own `window`, as far as `longest` allows, so that a window that was
    not widened is found.
    """
    length = SHORT + window if direction == "bidirectional" else SHORT
    text = _text(model.config, max(2, min(length, longest, LONGEST)))
    other = text.clone()
    other[-1] = text[-2] if text[-2] != text[-1] else text[0]
    mode: bool = model.training
    model.eval()
    try:
        with torch.no_grad():
            one, two = states(torch.stack([text, other]).to(model.device))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split())[:150]
        raise _unfit(model, direction, f"cannot be run ({type(error).__name__}: {reason})") from None
    finally:
        model.train(mode)
    change = float((one - two)[0].abs().max() / one.abs().max())
    if direction == "bidirectional" and not change > SEEN:
        raise _unfit(model, direction, f"does not let the first of {len(text)} tokens see the last one")
    if direction == "causal" and not change <= LEAK:
        raise _unfit(model, direction, "lets the first token see the last one")


def _text(config: Any, length: int) -> torch.Tensor:
    """Different tokens, none of them special."""
    names = ("pad", "bos", "eos", "cls", "sep")
    special = {getattr(config, f"{name}_token_id", None) for name in names}
    kept = torch.tensor([number for number in range(min(config.vocab_size, 2000)) if number not in special])
    text = kept[torch.randperm(len(kept), generator=torch.Generator().manual_seed(0))]
    return text.repeat(length // len(text) + 1)[:length]


def _unfit(model: Any, direction: Direction, what: str) -> BadInput:
    attention = model.config._attn_implementation
    return BadInput(
        f"{type(model).__name__} with {attention} attention, asked to be {direction}, {what}. Try the other attention "
        "(eager or sdpa), attention = causal, or another model, such as Llama, Mistral, Qwen, Gemma, Phi or GPT-NeoX."
    )
