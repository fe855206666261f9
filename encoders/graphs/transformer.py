"""A transformer's ONNX graph, built from its weights with ONNX Runtime's fused operators.

Batches hold texts of exactly equal length, so there is no padding and no mask, and every operator works on each text
(most on each token) alone. Input `input_ids` [texts, tokens], with segments also `token_type_ids`; output
`last_hidden_state` [texts, tokens, dim].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from retr.encoders.graphs import wire
from retr.encoders.graphs.graph import BuiltModel, Graph
from retr.encoders.graphs.linears import LINEARS, Multiply
from retr.encoders.reading.weights import Layer, Linear, Norm, Table, Transformer
from retr.retrieval.embeddings import Floats

BUILDER = 1
"""Raised whenever the same weights would give other numbers; part of an encoder's fingerprint."""


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What every layer of one graph shares."""

    graph: Graph
    weights: Transformer
    multiply: Multiply
    bias: str  # attention's bias by relative position, or "" for none


def build(weights: Transformer, *, linears: str, segments: bool, top: int = 1) -> BuiltModel:
    """The ONNX file of a transformer. `segments`: whether there is an input `token_type_ids` (pairs need one).

    The states are those of the last `top` layers side by side, the last layer's at the end.
    """
    graph = Graph()
    x = _embed(graph, weights, segments)
    bias = "" if weights.relative is None else relative_bias(graph, weights.relative)
    parts = _Parts(graph, weights, LINEARS[linears], bias)
    states = []
    for layer in weights.layers:
        x = _feed(parts, _attend(parts, x, layer), layer)
        states.append(x)
    if top > 1:
        x = graph.add("Concat", *states[-top:], axis=-1)
    return graph.model(["input_ids", *(["token_type_ids"] if segments else [])], x, top * weights.dim)


def build_masked(weights: Transformer, *, linears: str) -> BuiltModel:
    """The ONNX file of a transformer whose tokens see what a mask lets them, at positions that are told.

    int64 `input_ids`, `position_ids` and, with segments, `token_type_ids`, all [texts, tokens]; float32
    `attention_bias` [texts, 1, tokens, tokens], added to attention's scores. Not for models with a bias of their own.
    """
    graph = Graph()
    x = graph.add(
        "Add", _look_up(graph, weights.words), graph.add("Gather", graph.constant(weights.positions), "position_ids")
    )
    inputs = ["input_ids", "position_ids"]
    if weights.types is not None and len(weights.types) > 1:
        x = graph.add("Add", x, graph.add("Gather", graph.constant(weights.types), "token_type_ids"))
        inputs.append("token_type_ids")
    elif weights.types is not None:
        x = graph.add("Add", x, graph.constant(weights.types[0]))
    x = _norm(graph, x, weights.norm, weights.epsilon)
    parts = _Parts(graph, weights, LINEARS[linears], "attention_bias")
    for layer in weights.layers:
        x = _feed(parts, _attend(parts, x, layer), layer)
    return graph.model(inputs, x, weights.dim, {"attention_bias": ["texts", 1, "tokens", "tokens"]})


def _embed(graph: Graph, weights: Transformer, segments: bool) -> str:
    positions = weights.positions
    if weights.types is not None and not segments:
        positions = positions + weights.types[0]
    zero = graph.constant([0], "int64")
    tokens = graph.add("Shape", "input_ids", start=1, end=2)
    x = graph.add(
        "Add", _look_up(graph, weights.words), graph.add("Slice", graph.constant(positions), zero, tokens, zero)
    )
    if weights.types is not None and segments:
        x = graph.add("Add", x, graph.add("Gather", graph.constant(weights.types), "token_type_ids"))
    return _norm(graph, x, weights.norm, weights.epsilon)


def _look_up(graph: Graph, table: Table) -> str:
    if table.scale is None:
        return graph.add("Gather", graph.constant(table.values), "input_ids")
    rows = graph.add("Cast", graph.add("Gather", graph.constant(table.values, "int8"), "input_ids"), to=wire.FLOAT)
    return graph.add("Mul", rows, graph.add("Gather", graph.constant(table.scale), "input_ids"))


def relative_bias(graph: Graph, by_distance: Floats) -> str:
    """[1, heads, tokens, tokens] out of one row of heads for every distance, the longest one back first."""
    zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
    first = graph.constant([0], "int64")
    tokens = graph.add("Squeeze", graph.add("Shape", "input_ids", start=1, end=2), first)
    places = graph.add("Range", zero, tokens, one)
    distances = graph.add(
        "Sub", graph.add("Unsqueeze", places, first), graph.add("Unsqueeze", places, graph.constant([1], "int64"))
    )
    rows = graph.add("Add", distances, graph.constant(len(by_distance) // 2, "int64"))
    bias = graph.add("Transpose", graph.add("Gather", graph.constant(by_distance), rows), perm=[2, 0, 1])
    return graph.add("Unsqueeze", bias, first)


def _attend(parts: _Parts, x: str, layer: Layer) -> str:
    graph = parts.graph
    linears = (layer.query, layer.key, layer.value)
    sizes = graph.constant([parts.weights.dim] * 3, "int64")
    heads = graph.split("Split", parts.multiply(graph, x, linears, "by range"), sizes, count=3, axis=-1)
    inputs = [*heads, graph.constant(np.concatenate([linear.bias for linear in linears]))]
    if parts.bias:
        inputs += ["", parts.bias]
    mixed = graph.add("com.microsoft:MultiHeadAttention", *inputs, num_heads=parts.weights.heads)
    return _add_norm(parts, parts.multiply(graph, mixed, [layer.out], "even"), x, layer.out, layer.out_norm)


def _feed(parts: _Parts, x: str, layer: Layer) -> str:
    wide = parts.multiply(parts.graph, x, [layer.up], "by size")
    wide = ACTIVATIONS[parts.weights.activation](parts.graph, wide, layer.up.bias)
    return _add_norm(parts, parts.multiply(parts.graph, wide, [layer.down], "by size"), x, layer.down, layer.down_norm)


def _add_norm(parts: _Parts, x: str, skip: str, linear: Linear, norm: Norm) -> str:
    """Two additions and a norm: ONNX Runtime's fused SkipLayerNormalization takes three times as long on a CPU."""
    graph = parts.graph
    x = graph.add("Add", graph.add("Add", x, graph.constant(linear.bias)), skip)
    return _norm(graph, x, norm, parts.weights.epsilon)


def _norm(graph: Graph, x: str, norm: Norm, epsilon: float) -> str:
    weights = (graph.constant(norm.weight), graph.constant(norm.bias))
    return graph.add("LayerNormalization", x, *weights, axis=-1, epsilon=epsilon)


def _gelu(graph: Graph, x: str, bias: Floats) -> str:
    return graph.add("com.microsoft:BiasGelu", x, graph.constant(bias))


def _gelu_tanh(graph: Graph, x: str, bias: Floats) -> str:
    return graph.add("com.microsoft:FastGelu", x, graph.constant(bias))


def _relu(graph: Graph, x: str, bias: Floats) -> str:
    return graph.add("Relu", graph.add("Add", x, graph.constant(bias)))


ACTIVATIONS: dict[str, Callable[[Graph, str, Floats], str]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": _relu,
}
