"""Token states to one vector a text. There is no padding, so there is no mask."""

from collections.abc import Callable, Sequence

import numpy as np

from retr.retrieval.embeddings import Floats

TINY = 1e-12


def _cls(states: Floats, skip: int) -> Floats:
    return states[:, skip]


def _mean(states: Floats, skip: int) -> Floats:
    return np.asarray(states[:, skip:].mean(axis=1))


def _max(states: Floats, skip: int) -> Floats:
    return np.asarray(states[:, skip:].max(axis=1))


def _mean_sqrt_len(states: Floats, skip: int) -> Floats:
    return np.asarray(states[:, skip:].sum(axis=1) / np.sqrt(np.float32(states.shape[1] - skip)))


def _weighted_mean(states: Floats, skip: int) -> Floats:
    """Weights 1, 2, … by position (Muennighoff 2022, SGPT); a prompt that is left out keeps its positions."""
    weights = np.arange(skip + 1, states.shape[1] + 1, dtype=np.float32)
    return np.asarray(np.einsum("nth,t->nh", states[:, skip:], weights) / weights.sum())


def _last(states: Floats, skip: int) -> Floats:
    return states[:, -1]


ATTENTION = "attention"
"""The pooling that is learned: `attend`, by a vector of the model's own. It stands alone, not beside others."""


def attend(states: Floats, query: Floats, skip: int = 0) -> Floats:
    """[texts, tokens, dim] to [texts, dim]: the mean weighted by softmax(state . query / sqrt(dim)), query [dim].

    One learned query without projections; a query of zeros is the mean. At least one token is always kept.
    """
    kept = states[:, min(skip, states.shape[1] - 1) :]
    logits = kept @ (query / np.float32(np.sqrt(len(query))))
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(np.einsum("nth,nt->nh", kept, weights) / weights.sum(axis=1, keepdims=True))


POOLINGS: dict[str, Callable[[Floats, int], Floats]] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
"""Name, as sentence-transformers writes it, to (states [texts, tokens, dim], tokens to leave out at the front)."""


def pool(states: Floats, modes: Sequence[str], skip: int = 0) -> Floats:
    """The poolings side by side, [texts, dim x modes]. At least one token is always kept."""
    kept = min(skip, states.shape[1] - 1)
    return np.concatenate([POOLINGS[mode](states, kept) for mode in modes], axis=1)


def unit(vectors: Floats) -> Floats:
    """Each row over its length; a row of zeros stays one."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), TINY), np.float32)
