"""Trials of a model before it is trained: does it keep to masks, positions and padding? Some silently do not."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from retr.encoders.on_torch.probe import trial_texts
from retr.encoders.trainable.backbone import Backbone
from retr.encoders.trainable.masks import lay_out
from retr.retrieval.errors import BadInput

TOLERANCE = 1e-4
"""Of the largest state, between two ways to the same states; measured: 1e-6."""

LEAK = 1e-6
"""Of the largest state, where a token is changed that may not be seen; a mask that is kept leaves nothing."""

CONTEXT, CANDIDATE = 5, 4


def prove_masks(backbone: Backbone) -> Backbone:
    """The backbone with its first position, when it is proven to keep to masks of [rows, 1, L, L] and to positions.

    BadInput where a token that is masked is seen, one that is not masked is not, states depend on a candidate's place
    in the row, or one text under a mask that hides nothing has other states than without one.
    """
    with _trial(backbone):
        proven = backbone.starting_at(_first_position(backbone))
        _prove_hidden(proven)
        _prove_place(proven)
    return proven


def prove_padding(backbone: Backbone) -> None:
    """BadInput where a text's states differ between itself alone and beside a longer text."""
    with _trial(backbone):
        long, short, _ = (text.tolist() for text in trial_texts(backbone.model.config))
        together = _answer(backbone, [short, long])[0]
        alone = _answer(backbone, [short])[0]
    if not _near(together[: len(alone)], alone, TOLERANCE):
        raise BadInput(f"{backbone.name} gives a text other states beside a longer one. Take another model.")


def _answer(backbone: Backbone, ids: Sequence[Sequence[int]]) -> torch.Tensor:
    """States [texts, longest, dim], or a classifier's logits [texts, labels]."""
    result = backbone.run(ids)
    answer: torch.Tensor = result.logits if "logits" in result else result.last_hidden_state
    return answer


def _first_position(backbone: Backbone) -> int:
    """Most models count from 0, RoBERTa from behind the number of its padding: both are tried."""
    text = trial_texts(backbone.model.config)[0]
    plain = backbone.states([text.tolist()])[0]
    for first in (0, backbone.fill + 1):
        if _near(_tried(backbone.starting_at(first), text, [len(text)])[0], plain, TOLERANCE):
            return first
    raise _unfit(backbone, "gives one text other states under a mask that hides nothing")


def _prove_hidden(backbone: Backbone) -> None:
    context, one, two = _blocks(backbone)
    before = _tried(backbone, torch.cat([context, one, two]), [CONTEXT, CANDIDATE, CANDIDATE])[0]
    after = _tried(backbone, torch.cat([context, one.flip(0), two]), [CONTEXT, CANDIDATE, CANDIDATE])[0]
    changed = slice(CONTEXT, CONTEXT + CANDIDATE)
    if _near(before[changed], after[changed], LEAK):
        raise _unfit(backbone, "does not let a token see its own block")
    others = [*range(CONTEXT), *range(CONTEXT + CANDIDATE, len(before))]
    if not _near(before[others], after[others], LEAK):
        raise _unfit(backbone, "does not keep to a mask: a hidden token changes the states of others")
    other_context = _tried(backbone, torch.cat([context.flip(0), one, two]), [CONTEXT, CANDIDATE, CANDIDATE])[0]
    if _near(before[changed], other_context[changed], LEAK):
        raise _unfit(backbone, "does not let a candidate see its context")


def _prove_place(backbone: Backbone) -> None:
    context, one, two = _blocks(backbone)
    before = _tried(backbone, torch.cat([context, one, two]), [CONTEXT, CANDIDATE, CANDIDATE])[0]
    swapped = _tried(backbone, torch.cat([context, two, one]), [CONTEXT, CANDIDATE, CANDIDATE])[0]
    back = torch.cat([swapped[:CONTEXT], swapped[CONTEXT + CANDIDATE :], swapped[CONTEXT : CONTEXT + CANDIDATE]])
    if not _near(before, back, TOLERANCE):
        raise _unfit(backbone, "counts positions by the place in the row and not as told")


def _tried(backbone: Backbone, ids: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    layout = lay_out([lengths], "one_way").to(backbone.device)
    return backbone.masked_states(ids[None].to(backbone.device), layout)


def _blocks(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A context and two candidates, of different tokens."""
    needed = CONTEXT + 2 * CANDIDATE
    tokens = sorted({int(token) for text in trial_texts(backbone.model.config) for token in text})
    row = torch.tensor((tokens * needed)[:needed])
    return row[:CONTEXT], row[CONTEXT : CONTEXT + CANDIDATE], row[CONTEXT + CANDIDATE :]


def _near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())


def _unfit(backbone: Backbone, what: str) -> BadInput:
    attention = backbone.model.config._attn_implementation
    return BadInput(
        f"{backbone.name} with {attention} attention {what}. A context with many candidates in one row needs a model "
        "that does, such as BERT, RoBERTa, ELECTRA, DistilBERT or ModernBERT; bi and cross need none."
    )


@contextmanager
def _trial(backbone: Backbone) -> Iterator[None]:
    """No gradients and no dropout; a foreign model's own error at the trial becomes one line."""
    mode: bool = backbone.model.training
    backbone.model.eval()
    try:
        with torch.no_grad():
            yield
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split())[:150]
        raise _unfit(backbone, f"cannot be run with a mask of its tokens ({type(error).__name__}: {reason})") from None
    finally:
        backbone.model.train(mode)
