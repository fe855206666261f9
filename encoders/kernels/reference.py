"""The kernels' numpy twin: the same steps, written to be read. It is what the tests hold the compiled code against."""

from collections.abc import Callable, Sequence
from math import erf

import numpy as np
from numpy.typing import NDArray

from retr.encoders.reading.weights import Layer, Linear, Norm, Transformer
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats

LEVELS = 255


def forward(weights: Transformer, ids: Sequence[Ids], segments: Sequence[Ids] | None = None) -> list[Floats]:
    """Each text's states, [tokens, dim] float32: texts one by one, a layer as in BERT (Devlin et al., 2019)."""
    kinds = segments or [np.zeros_like(one) for one in ids]
    return [_one(weights, one, kind) for one, kind in zip(ids, kinds, strict=True)]


def forward_row(weights: Transformer, ids: Ids, segments: Ids, positions: Ids, looks: NDArray[np.bool_]) -> Floats:
    """States [tokens, dim] of one row, whose tokens see what `looks` [tokens, tokens] says, at positions of their own.

    Not for models with a bias by relative position.
    """
    bias = np.where(looks, np.float32(0), np.float32(-np.inf))
    return _one(weights, ids, segments, positions, bias)


def linear(x: Floats, layer: Linear) -> Floats:
    """x @ weight + bias. In front of int8 weights each row of x is rounded to 256 levels between its least and most."""
    if layer.scale is None:
        return np.asarray(x @ layer.weight + layer.bias, np.float32)
    least = x.min(axis=1, keepdims=True)
    span = x.max(axis=1, keepdims=True) - least
    numbers = np.floor((x - least) * np.divide(LEVELS, span, out=np.zeros_like(span), where=span > 0) + np.float32(0.5))
    products = numbers.astype(np.int64) @ layer.weight.astype(np.int64)
    columns = layer.weight.astype(np.int64).sum(axis=0) * layer.scale
    return np.asarray(products * (layer.scale * (span / LEVELS)) + columns * least + layer.bias, np.float32)


def _one(
    weights: Transformer, ids: Ids, segments: Ids, positions: Ids | None = None, bias: Floats | None = None
) -> Floats:
    x = _words(weights, ids) + weights.positions[np.arange(len(ids)) if positions is None else positions]
    if weights.types is not None:
        x = x + weights.types[segments]
    x = _norm(x, weights.norm, weights.epsilon)
    for layer in weights.layers:
        x = _norm(x + linear(_attend(weights, layer, x, bias), layer.out), layer.out_norm, weights.epsilon)
        wide = ACTIVATIONS[weights.activation](linear(x, layer.up))
        x = _norm(x + linear(wide, layer.down), layer.down_norm, weights.epsilon)
    return x


def _words(weights: Transformer, ids: Ids) -> Floats:
    rows = weights.words.values[ids].astype(np.float32)
    return rows if weights.words.scale is None else np.asarray(rows * weights.words.scale.reshape(-1, 1)[ids])


def _attend(weights: Transformer, layer: Layer, x: Floats, bias: Floats | None) -> Floats:
    size = weights.dim // weights.heads
    query, key, value = (
        linear(x, one).reshape(len(x), weights.heads, size).transpose(1, 0, 2)
        for one in (layer.query, layer.key, layer.value)
    )
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(np.float32(size))
    if weights.relative is not None:
        places = np.arange(len(x))
        distance = places[None, :] - places[:, None] + len(weights.relative) // 2
        scores = scores + weights.relative[distance].transpose(2, 0, 1)
    if bias is not None:
        scores = scores + bias
    shares = np.exp(scores - scores.max(axis=2, keepdims=True))
    mixed = (shares / shares.sum(axis=2, keepdims=True)) @ value
    return np.asarray(mixed.transpose(1, 0, 2).reshape(len(x), weights.dim), np.float32)


def _norm(x: Floats, norm: Norm, epsilon: float) -> Floats:
    far = x - x.mean(axis=1, keepdims=True)
    spread = (far * far).mean(axis=1, keepdims=True)
    return np.asarray(far / np.sqrt(spread + np.float32(epsilon)) * norm.weight + norm.bias, np.float32)


def _gelu(x: Floats) -> Floats:
    return np.asarray(x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))), np.float32)


def _gelu_tanh(x: Floats) -> Floats:
    return np.asarray(x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), np.float32)


def _relu(x: Floats) -> Floats:
    return np.asarray(np.maximum(x, 0), np.float32)


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": _relu,
}
