"""x @ W + b in ONNX's own operators, so that every runtime reads it: in float32, float16, or int8 a token at a time.

In int8 every token gets its own scale and least number, so that its 255 steps lie where its numbers lie and no token
sees another: x = least + size * q, hence x @ W = size * scale * (q @ Q) + least * (sum of each column of scale * Q).
"""

from collections.abc import Sequence

import numpy as np

from retr.encoders.exporting.named import Named
from retr.encoders.graphs import wire
from retr.encoders.reading.weights import Linear

STEPS = 255
SMALLEST = 1e-30
"""In place of a range of zero, so that a token of equal numbers stays one."""


def joined(parts: Sequence[Linear]) -> Linear:
    """Matrices side by side; all have a scale, or none has."""
    weight = np.concatenate([part.weight for part in parts], axis=1)
    scales = [part.scale for part in parts if part.scale is not None]
    scale = np.concatenate(scales) if scales else None
    return Linear(weight, np.concatenate([part.bias for part in parts]), scale)


def multiply(graph: Named, x: str, linear: Linear, name: str) -> str:
    """The product with the bias. The constants are called `name.weight`, `.scale`, `.columns` and `.bias`."""
    if linear.scale is None:
        product = graph.add("MatMul", x, graph.named(f"{name}.weight", linear.weight, graph.floats))
    else:
        product = _int8(graph, x, linear, name)
    return graph.add("Add", product, graph.named(f"{name}.bias", linear.bias, graph.floats))


def _int8(graph: Named, x: str, linear: Linear, name: str) -> str:
    steps, least, size = _by_token(graph, x)
    whole = graph.add("MatMulInteger", steps, graph.named(f"{name}.weight", linear.weight, "int8"))
    product = graph.add("Mul", graph.add("Cast", whole, to=wire.FLOAT), size)
    product = graph.add("Mul", product, graph.named(f"{name}.scale", linear.scale, "float32"))
    columns = linear.weight.sum(axis=0, dtype=np.int64) * np.asarray(linear.scale, np.float64)
    offset = graph.add("Mul", least, graph.named(f"{name}.columns", columns, "float32"))
    return graph.add("Add", product, offset)


def _by_token(graph: Named, x: str) -> tuple[str, str, str]:
    """Each token's numbers as 0..255, its least number, and the size of one step."""
    axis = graph.constant([-1], "int64")
    least = graph.add("ReduceMin", x, axis, keepdims=1)
    range_ = graph.add("Sub", graph.add("ReduceMax", x, axis, keepdims=1), least)
    size = graph.add("Div", graph.add("Max", range_, graph.constant(SMALLEST)), graph.constant(float(STEPS)))
    part = graph.add("Round", graph.add("Div", graph.add("Sub", x, least), size))
    return graph.add("Cast", part, to=wire.UINT8), least, size
