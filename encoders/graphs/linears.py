"""How x @ W is computed: in float32, or in int8 in two ways. The bias is left to the operator that follows.

int8 per text: activations get one scale and zero point a run, so a run is one text, and no text sees another. Where
single tokens stand out, each token is first brought to the same range, and the product brought back, which costs little
and loses far less: to -1..1 by its largest number in the feed-forward part, and to 0..1 by its least and greatest
before attention, where a few large numbers all have one sign.
A weight without scale is one that was kept in float32, and is multiplied so.
int8 per block: activations get a scale for every token and 128 inputs. Slower and closer; used where a processor's
8-bit instructions saturate.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retr.encoders.graphs import wire
from retr.encoders.graphs.graph import BuiltModel, Graph
from retr.encoders.reading.weights import Linear
from retr.retrieval.embeddings import Floats

Spread = Literal["even", "by size", "by range"]
"""How x differs between tokens: hardly, in its largest number, or in its least and greatest."""

Multiply = Callable[[Graph, str, Sequence[Linear], Spread], str]
"""(graph, x, linears side by side, how x differs between tokens) to the product's name."""

BLOCK = 128
SMALLEST = 1e-30
"""In place of a range of zero, so that a token of equal numbers stays one."""


def float32(graph: Graph, x: str, parts: Sequence[Linear], spread: Spread) -> str:
    """A plain matrix product."""
    weight = parts[0].floats() if len(parts) == 1 else np.concatenate([part.floats() for part in parts], axis=1)
    return graph.add("MatMul", x, graph.constant(weight))


def int8_per_text(graph: Graph, x: str, parts: Sequence[Linear], spread: Spread) -> str:
    """Weights in int8 with a scale a column, activations in uint8; see the file's head for `spread`."""
    if any(part.scale is None for part in parts):
        return _some_in_float32(graph, x, parts, spread, int8_per_text)
    weight, scale = _int8(parts)
    constants = (graph.constant(weight, "int8"), graph.constant(scale))
    if spread == "even":
        return graph.add("com.microsoft:DynamicQuantizeMatMul", x, *constants)
    axis, smallest = graph.constant([-1], "int64"), graph.constant(SMALLEST)
    if spread == "by size":
        size = graph.add("Max", graph.add("ReduceMax", graph.add("Abs", x), axis, keepdims=1), smallest)
        product = graph.add("com.microsoft:DynamicQuantizeMatMul", graph.add("Div", x, size), *constants)
        return graph.add("Mul", product, size)
    least = graph.add("ReduceMin", x, axis, keepdims=1)
    size = graph.add("Max", graph.add("Sub", graph.add("ReduceMax", x, axis, keepdims=1), least), smallest)
    part = graph.add("Div", graph.add("Sub", x, least), size)
    product = graph.add("Mul", graph.add("com.microsoft:DynamicQuantizeMatMul", part, *constants), size)
    columns = (weight.astype(np.float32) * scale).sum(axis=0, keepdims=True)
    return graph.add("Add", product, graph.add("Mul", least, graph.constant(columns)))


def int8_per_block(graph: Graph, x: str, parts: Sequence[Linear], spread: Spread) -> str:
    """The same weights, shifted to uint8; the column's scale is repeated for each block of inputs."""
    if any(part.scale is None for part in parts):
        return _some_in_float32(graph, x, parts, spread, int8_per_block)
    weight, scale = _int8(parts)
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


def _some_in_float32(graph: Graph, x: str, parts: Sequence[Linear], spread: Spread, int8: Multiply) -> str:
    """The product where some weights, or all, are kept in float32: those have no scale."""
    if all(part.scale is None for part in parts):
        return float32(graph, x, parts, spread)
    each = [(float32 if part.scale is None else int8)(graph, x, [part], spread) for part in parts]
    return graph.add("Concat", *each, axis=-1)


def _int8(parts: Sequence[Linear]) -> tuple[NDArray[np.int8], Floats]:
    scales = [part.scale for part in parts if part.scale is not None]
    return np.concatenate([part.weight for part in parts], axis=1), np.concatenate(scales)


LINEARS: dict[str, Multiply] = {
    "float32": float32,
    "int8_per_text": int8_per_text,
    "int8_per_block": int8_per_block,
}


@cache
def int8_kind() -> str:
    """`int8_per_text` where this processor's 8-bit products are exact, else `int8_per_block`.

    x86 without VNNI adds pairs of products in 16 bits, which saturate. So the largest product is tried: ones against
    weights of 127, which have no rounding to hide behind.
    """
    from retr.encoders.running.session import open_session

    size = 64
    weight = np.full((size, size), 127, np.int8)
    graph = Graph()
    linear = Linear(weight, np.zeros(size, np.float32), np.ones(size, np.float32))
    output = int8_per_text(graph, "x", [linear], "even")
    graph.nodes.append(wire.node("Identity", [output], ["y"], {}))
    ends = [wire.value_info(name, wire.FLOAT, ["rows", size]) for name in ("x", "y")]
    session = open_session(BuiltModel(wire.model(graph.nodes, graph.tensors, ends[:1], ends[1:]), graph.outside))
    product = session.run(None, {"x": np.ones((size, size), np.float32)})[0]
    return "int8_per_text" if np.allclose(product, 127 * size, rtol=1e-3) else "int8_per_block"
