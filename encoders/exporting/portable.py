"""A BERT-like model as an ONNX file that every runtime reads: plain operators, a mask, any batch shape.

Inputs `input_ids`, `attention_mask` and, where the family has segments, `token_type_ids`, all int64 [texts, tokens];
output `last_hidden_state` [texts, tokens, dim], or `logits` [texts, labels] with a classifier's head. Positions are
counted by the mask, so that padding on either side changes no token that is not padding. In float16 the norms and the
softmax stay in float32, where half precision could overflow.

For rows of a context with its candidates, `position_ids` and `attention_bias` (float32 [texts, 1, tokens, tokens],
added to attention's scores) stand in the place of `attention_mask`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from retr.encoders.exporting.named import Ends, Named, write
from retr.encoders.exporting.products import joined, multiply
from retr.encoders.graphs import wire
from retr.encoders.reading.exported import SETTINGS
from retr.encoders.reading.families import Head
from retr.encoders.reading.weights import Layer, Norm, Table, Transformer
from retr.retrieval.embeddings import Floats

MASKED = -1e9
"""Added to the score of a token that is padding; its share after the softmax is exactly zero."""

BIAS = ("attention_bias", ("texts", 1, "tokens", "tokens"))
"""The input that says who sees whom, and its shape."""


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """What every layer of one file shares: the masks are added to attention's scores."""

    graph: Named
    weights: Transformer
    mask: str
    relative: str


def write_portable(
    path: Path, weights: Transformer, head: Head | None = None, *, floats: str = "float32", rows: bool = False
) -> list[Path]:
    """Write the file; which files were written. `floats`: float32 or float16, for what is not in int8.

    `rows`: of a context with its candidates, see the file's head.
    """
    graph = Named(floats)
    segments = weights.types is not None and len(weights.types) > 1
    x = _embed(graph, weights, segments, "position_ids" if rows else _counted(graph))
    relative = "" if weights.relative is None else _relative_bias(graph, weights.relative)
    parts = _Parts(graph, weights, BIAS[0] if rows else _mask(graph), relative)
    for number, layer in enumerate(weights.layers):
        x = _feed(parts, _attend(parts, x, layer, f"layers.{number}"), layer, f"layers.{number}")
    second = "position_ids" if rows else "attention_mask"
    inputs = ("input_ids", second, *(("token_type_ids",) if segments else ()))
    floating = (BIAS,) if rows else ()
    if head is None:
        ends = Ends(inputs, "last_hidden_state", ("texts", "tokens", weights.dim), floating)
    else:
        x = _classify(graph, x, head)
        ends = Ends(inputs, "logits", ("texts", len(head.out.bias)), floating)
    graph.nodes.append(wire.node("Cast", [x], [ends.output], {"to": wire.FLOAT}))
    return write(path, graph, ends, {SETTINGS: json.dumps(_settings(weights, head), sort_keys=True)})


def _settings(weights: Transformer, head: Head | None) -> dict[str, object]:
    return {
        "layers": len(weights.layers),
        "heads": weights.heads,
        "epsilon": weights.epsilon,
        "activation": weights.activation,
        "head": None if head is None else head.activation,
    }


def _counted(graph: Named) -> str:
    """Positions by the mask."""
    one, zero = graph.constant(1, "int64"), graph.constant(0, "int64")
    return graph.add("Max", graph.add("Sub", graph.add("CumSum", "attention_mask", one), one), zero)


def _embed(graph: Named, weights: Transformer, segments: bool, places: str) -> str:
    zero = graph.constant(0, "int64")
    x = graph.add("Add", _look_up(graph, weights.words), _rows(graph, "positions", weights.positions, places))
    if weights.types is not None:
        x = graph.add("Add", x, _rows(graph, "types", weights.types, "token_type_ids" if segments else zero))
    return _norm(graph, x, weights.norm, "norm", weights.epsilon)


def _rows(graph: Named, name: str, values: Floats, numbers: str) -> str:
    return graph.add("Gather", graph.named(name, values, graph.floats), numbers)


def _look_up(graph: Named, table: Table) -> str:
    if table.scale is None:
        return _rows(graph, "words", table.values, "input_ids")
    rows = graph.add("Gather", graph.named("words", table.values, "int8"), "input_ids")
    scale = graph.add("Gather", graph.named("words.scale", table.scale, "float32"), "input_ids")
    return graph.add("Mul", graph.add("Cast", rows, to=wire.FLOAT), scale)


def _mask(graph: Named) -> str:
    """[texts, 1, 1, tokens] float32: zero for a token, `MASKED` for padding."""
    padding = graph.add("Sub", graph.constant(1.0), graph.add("Cast", "attention_mask", to=wire.FLOAT))
    return graph.add("Unsqueeze", graph.add("Mul", padding, graph.constant(MASKED)), graph.constant([1, 2], "int64"))


def _relative_bias(graph: Named, by_distance: Floats) -> str:
    """[heads, tokens, tokens] float32, out of one row of heads for every distance, the longest one back first."""
    zero, one = graph.constant(0, "int64"), graph.constant(1, "int64")
    first, second = graph.constant([0], "int64"), graph.constant([1], "int64")
    tokens = graph.add("Squeeze", graph.add("Shape", "input_ids", start=1, end=2), first)
    places = graph.add("Range", zero, tokens, one)
    distances = graph.add("Sub", graph.add("Unsqueeze", places, first), graph.add("Unsqueeze", places, second))
    rows = graph.add("Add", distances, graph.constant(len(by_distance) // 2, "int64"))
    return graph.add(
        "Transpose", graph.add("Gather", graph.named("relative", by_distance, "float32"), rows), perm=[2, 0, 1]
    )


def _attend(parts: _Parts, x: str, layer: Layer, name: str) -> str:
    graph, heads = parts.graph, parts.weights.heads
    size = parts.weights.dim // heads
    apart = graph.constant([0, 0, heads, size], "int64")
    query, key, value = (graph.add("Reshape", part, apart) for part in _three(parts, x, layer, name))
    query = graph.add("Mul", query, graph.constant(1 / math.sqrt(size), graph.floats))
    query, value = (graph.add("Transpose", part, perm=[0, 2, 1, 3]) for part in (query, value))
    scores = _wide(graph, graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 2, 3, 1])))
    if parts.relative:
        scores = graph.add("Add", scores, parts.relative)
    shares = _narrow(graph, graph.add("Softmax", graph.add("Add", scores, parts.mask), axis=-1))
    mixed = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[0, 2, 1, 3])
    mixed = graph.add("Reshape", mixed, graph.constant([0, 0, parts.weights.dim], "int64"))
    out = multiply(graph, mixed, layer.out, f"{name}.out")
    return _norm(graph, graph.add("Add", out, x), layer.out_norm, f"{name}.out_norm", parts.weights.epsilon)


def _three(parts: _Parts, x: str, layer: Layer, name: str) -> list[str]:
    """Query, key and value: one product where all three are stored alike."""
    graph, linears = parts.graph, {"query": layer.query, "key": layer.key, "value": layer.value}
    if len({linear.scale is None for linear in linears.values()}) > 1:
        return [multiply(graph, x, linear, f"{name}.{part}") for part, linear in linears.items()]
    together = multiply(graph, x, joined(list(linears.values())), f"{name}.attention")
    return graph.split("Split", together, graph.constant([parts.weights.dim] * 3, "int64"), count=3, axis=-1)


def _feed(parts: _Parts, x: str, layer: Layer, name: str) -> str:
    graph = parts.graph
    wide = ACTIVATIONS[parts.weights.activation](graph, multiply(graph, x, layer.up, f"{name}.up"))
    down = multiply(graph, wide, layer.down, f"{name}.down")
    return _norm(graph, graph.add("Add", down, x), layer.down_norm, f"{name}.down_norm", parts.weights.epsilon)


def _classify(graph: Named, x: str, head: Head) -> str:
    """The head on each text's first token."""
    first = graph.add("Gather", x, graph.constant(0, "int64"), axis=1)
    wide = multiply(graph, first, head.dense, "head.dense")
    return multiply(graph, graph.add("Tanh" if head.activation == "tanh" else "Relu", wide), head.out, "head.out")


def _norm(graph: Named, x: str, norm: Norm, name: str, epsilon: float) -> str:
    weights = [graph.named(f"{name}.{part}", getattr(norm, part), "float32") for part in ("weight", "bias")]
    normed = graph.add("LayerNormalization", _wide(graph, x), *weights, axis=-1, epsilon=epsilon)
    return _narrow(graph, normed)


def _wide(graph: Named, x: str) -> str:
    return x if graph.floats == "float32" else graph.add("Cast", x, to=wire.FLOAT)


def _narrow(graph: Named, x: str) -> str:
    return x if graph.floats == "float32" else graph.add("Cast", x, to=wire.FLOAT16)


def _gelu(graph: Named, x: str) -> str:
    """x / 2 (1 + erf(x / √2)), in the order of nodes that runtimes recognise and fuse."""
    error = graph.add("Erf", graph.add("Div", x, graph.constant(math.sqrt(2), graph.floats)))
    half = graph.add("Mul", x, graph.add("Add", error, graph.constant(1, graph.floats)))
    return graph.add("Mul", half, graph.constant(0.5, graph.floats))


def _gelu_tanh(graph: Named, x: str) -> str:
    """x / 2 (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    cube = graph.add("Mul", graph.add("Mul", graph.add("Mul", x, x), x), graph.constant(0.044715, graph.floats))
    inner = graph.add("Mul", graph.add("Add", x, cube), graph.constant(math.sqrt(2 / math.pi), graph.floats))
    half = graph.add("Mul", x, graph.add("Add", graph.add("Tanh", inner), graph.constant(1, graph.floats)))
    return graph.add("Mul", half, graph.constant(0.5, graph.floats))


def _relu(graph: Named, x: str) -> str:
    return graph.add("Relu", x)


ACTIVATIONS: dict[str, Callable[[Named, str], str]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": _relu,
}
