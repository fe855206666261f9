"""LargePiG's step (Sun et al. 2024, arXiv 2410.11366): a decoder's next word, mixed with the words it looks at."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from retr.distill.generating.settings import Divergence, GenerateSettings

PUBLISHED_WORDS = 32_000
"""Words of the published models: the code averages over the vocabulary, so its scale is for so many."""
TINY = 1e-7


def divergence(one: Tensor, other: Tensor, how: Divergence) -> Tensor:
    """Between log-probabilities, both float [..., words], to [...].

    `standard` is the Jensen-Shannon divergence, from 0 to log 2. `paper_code` has its terms turned around,
    KL(mixture || one), averaged over the published number of words.
    """
    mixture = torch.logaddexp(one, other) - torch.tensor(2.0).log()
    if how == "standard":
        terms = [(first.exp() * (first - mixture)).sum(-1) for first in (one, other)]
        return (terms[0] + terms[1]) / 2
    terms = [(mixture.exp() * (mixture - first)).sum(-1) for first in (one, other)]
    return (terms[0] + terms[1]) / 2 / PUBLISHED_WORDS


def looked_at(attention: Tensor, ids: Sequence[int], words: int, *, normalise: bool) -> Tensor:
    """The share of each word [words]: the last layer's attention [heads, source] to the source's tokens `ids`.

    A word that stands in the source several times has all of its shares. Without `normalise` they sum to what is
    looked at of the source, which is below one. A token below zero counts for no word.
    """
    shares = attention.float().mean(0)
    places = torch.tensor(list(ids), device=shares.device)
    shares = torch.where(places < 0, torch.zeros_like(shares), shares)
    if normalise:
        shares = shares / (shares.sum() + TINY)
    return shares.new_zeros(words).scatter_add(0, places.clamp(min=0), shares)


def next_word(final: Tensor, early: Tensor, copied: Tensor, settings: GenerateSettings) -> tuple[int, float]:
    """The likeliest word, and how much of it is copied.

    `final` are the last layer's logits [words], `early` those of earlier ones [layers, words], `copied` the shares of
    the words that are looked at.
    """
    last = log_softmax(final.float(), dim=-1)
    apart = divergence(last.expand_as(early), log_softmax(early.float(), dim=-1), settings.divergence)
    share = float((settings.factor * apart.max()).clamp(0, settings.most)) if len(early) else 0.0
    return int((share * copied + (1 - share) * last.exp()).argmax()), share
