"""A transformer's ONNX graph, built from its weights with ONNX Runtime's fused operators.

Batches hold texts of exactly equal length, so there is no padding and no mask, and every operator works on each text
(most on each token) alone. Input `input_ids` [texts, tokens], with segments also `token_type_ids`; output
`last_hidden_state` [texts, tokens, dim].
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from retr.encoders import onnx_wire
from retr.encoders.weights import Layer, Linear, Norm, Table, Transformer
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

BUILDER = 1
"""Raised whenever the same weights would give other numbers; part of an encoder's fingerprint."""

BLOCK = 128
"""Inputs that share one scale in int8: activations are quantised for each token and block, so never across texts."""


class Graph:
    """Nodes and constants in the making. Every method that adds a node returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """A constant of the graph."""
        name = f"c{len(self.tensors)}"
        self.tensors.append(onnx_wire.tensor(name, np.asarray(values, dtype=dtype)))
        return name

    def add(self, kind: str, *inputs: str, **attributes: int | float | Sequence[int]) -> str:
        """A node with one output."""
        return self.split(kind, *inputs, count=1, **attributes)[0]

    def split(self, kind: str, *inputs: str, count: int, **attributes: int | float | Sequence[int]) -> list[str]:
        """A node with `count` outputs."""
        names = [f"n{len(self.nodes)}_{number}" for number in range(count)]
        self.nodes.append(onnx_wire.node(kind, inputs, names, attributes))
        return names

    def model(self, inputs: Sequence[str], output: str, dim: int) -> bytes:
        """The ONNX file."""
        self.nodes.append(onnx_wire.node("Identity", [output], ["last_hidden_state"], {}))
        ids = [onnx_wire.value_info(name, onnx_wire.INT64, ["texts", "tokens"]) for name in inputs]
        states = onnx_wire.value_info("last_hidden_state", onnx_wire.FLOAT, ["texts", "tokens", dim])
        return onnx_wire.model(self.nodes, self.tensors, ids, [states])


def build(weights: Transformer, *, precision: str, segments: bool) -> bytes:
    """The ONNX file of a transformer. `segments`: whether there is an input `token_type_ids` (pairs need one)."""
    linear = LINEARS[precision]
    graph = Graph()
    x = _embed(graph, weights, segments)
    for layer in weights.layers:
        x = _attend(graph, x, layer, weights, linear)
        x = _feed(graph, x, layer, weights, linear)
    return graph.model(["input_ids", *(["token_type_ids"] if segments else [])], x, weights.dim)


def _embed(graph: Graph, weights: Transformer, segments: bool) -> str:
    words = _look_up(graph, weights.words, "input_ids")
    positions = weights.positions
    if weights.types is not None and not segments:
        positions = positions + weights.types[0]
    tokens = graph.add("Shape", "input_ids", start=1, end=2)
    rows = graph.add(
        "Slice", graph.constant(positions), graph.constant([0], "int64"), tokens, graph.constant([0], "int64")
    )
    x = graph.add("Add", words, rows)
    if weights.types is not None and segments:
        x = graph.add("Add", x, graph.add("Gather", graph.constant(weights.types), "token_type_ids"))
    norm = weights.norm
    return graph.add(
        "LayerNormalization",
        x,
        graph.constant(norm.weight),
        graph.constant(norm.bias),
        axis=-1,
        epsilon=weights.epsilon,
    )


def _look_up(graph: Graph, table: Table, ids: str) -> str:
    if table.scale is None:
        return graph.add("Gather", graph.constant(table.values), ids)
    rows = graph.add("Cast", graph.add("Gather", graph.constant(table.values, "int8"), ids), to=onnx_wire.FLOAT)
    return graph.add("Mul", rows, graph.add("Gather", graph.constant(table.scale), ids))


Multiply = Callable[[Graph, str, Sequence[Linear]], str]


def _attend(graph: Graph, x: str, layer: Layer, weights: Transformer, linear: Multiply) -> str:
    parts = (layer.query, layer.key, layer.value)
    wide = linear(graph, x, parts)
    bias = graph.constant(np.concatenate([part.bias for part in parts]))
    sizes = graph.constant([weights.dim] * 3, "int64")
    query, key, value = graph.split("Split", wide, sizes, count=3, axis=-1)
    mixed = graph.add("com.microsoft:MultiHeadAttention", query, key, value, bias, num_heads=weights.heads)
    return _add_norm(graph, linear(graph, mixed, [layer.out]), x, layer.out, layer.out_norm, weights.epsilon)


def _feed(graph: Graph, x: str, layer: Layer, weights: Transformer, linear: Multiply) -> str:
    wide = ACTIVATIONS[weights.activation](graph, linear(graph, x, [layer.up]), layer.up.bias)
    return _add_norm(graph, linear(graph, wide, [layer.down]), x, layer.down, layer.down_norm, weights.epsilon)


def _add_norm(graph: Graph, x: str, skip: str, linear: Linear, norm: Norm, epsilon: float) -> str:
    constants = [graph.constant(values) for values in (norm.weight, norm.bias, linear.bias)]
    return graph.add("com.microsoft:SkipLayerNormalization", x, skip, *constants, epsilon=epsilon)


def _multiply_float32(graph: Graph, x: str, parts: Sequence[Linear]) -> str:
    return graph.add("MatMul", x, graph.constant(np.concatenate([part.floats() for part in parts], axis=1)))


def _multiply_int8(graph: Graph, x: str, parts: Sequence[Linear]) -> str:
    """Weights kept in int8 as they are, one scale a column, repeated for each block of inputs."""
    if any(part.scale is None for part in parts):
        raise BadInput("int8 needs weights that are stored in int8; these are float32. Use precision='float32'.")
    weight = np.concatenate([part.weight for part in parts], axis=1)
    scale = np.concatenate([part.scale for part in parts if part.scale is not None])
    inputs, outputs = weight.shape
    blocks = -(-inputs // BLOCK)
    shifted = np.full((outputs, blocks * BLOCK), 128, np.uint8)
    shifted[:, :inputs] = (weight.T.astype(np.int16) + 128).astype(np.uint8)
    constants = (
        graph.constant(shifted.reshape(outputs, blocks, BLOCK), "uint8"),
        graph.constant(np.repeat(scale[:, None], blocks, axis=1)),
    )
    settings = {"K": inputs, "N": outputs, "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
    return graph.add("com.microsoft:MatMulNBits", x, *constants, **settings)


LINEARS: dict[str, Multiply] = {"float32": _multiply_float32, "int8": _multiply_int8}


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
