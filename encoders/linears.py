"""How x @ W is computed: in float32, or in int8 in two ways. The bias is left to the operator that follows.

int8 per text: activations get one scale and zero point a run, so a run is one text, and no text sees another. Where
single tokens stand out (the feed-forward part of BERT), each token is first divided by its largest number and the
product multiplied by it again, which costs little and loses far less.
int8 per block: activations get a scale for every token and 128 inputs. Slower and closer; used where a processor's
8-bit instructions saturate.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from retr.encoders import onnx_wire
from retr.encoders.onnx_graph import BuiltModel, Graph
from retr.encoders.weights import Linear
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

Multiply = Callable[[Graph, str, Sequence[Linear], bool], str]
"""(graph, x, linears side by side, whether single tokens of x stand out) to the product's name."""

BLOCK = 128
SMALLEST = 1e-30
"""In place of a largest number of zero, so that a token of zeros stays one."""


def float32(graph: Graph, x: str, parts: Sequence[Linear], uneven: bool) -> str:
    """A plain matrix product."""
    weight = parts[0].floats() if len(parts) == 1 else np.concatenate([part.floats() for part in parts], axis=1)
    return graph.add("MatMul", x, graph.constant(weight))


def int8_per_text(graph: Graph, x: str, parts: Sequence[Linear], uneven: bool) -> str:
    """Weights in int8 with a scale a column, activations in uint8; see the file's head for `uneven`."""
    weight, scale = _int8(parts)
    constants = (graph.constant(weight, "int8"), graph.constant(scale))
    if not uneven:
        return graph.add("com.microsoft:DynamicQuantizeMatMul", x, *constants)
    largest = graph.add("ReduceMax", graph.add("Abs", x), graph.constant([-1], "int64"), keepdims=1)
    largest = graph.add("Max", largest, graph.constant(SMALLEST))
    product = graph.add("com.microsoft:DynamicQuantizeMatMul", graph.add("Div", x, largest), *constants)
    return graph.add("Mul", product, largest)


def int8_per_block(graph: Graph, x: str, parts: Sequence[Linear], uneven: bool) -> str:
    """The same weights, shifted to uint8; the column's scale is repeated for each block of inputs."""
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


def _int8(parts: Sequence[Linear]) -> tuple[NDArray[np.int8], Floats]:
    scales = [part.scale for part in parts if part.scale is not None]
    if len(scales) < len(parts):
        raise BadInput("The precision int8 needs weights stored in int8; these are floats. Use the precision float32.")
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
    from retr.encoders.session import open_session

    size = 64
    weight = np.full((size, size), 127, np.int8)
    graph = Graph()
    linear = Linear(weight, np.zeros(size, np.float32), np.ones(size, np.float32))
    output = int8_per_text(graph, "x", [linear], False)
    graph.nodes.append(onnx_wire.node("Identity", [output], ["y"], {}))
    ends = [onnx_wire.value_info(name, onnx_wire.FLOAT, ["rows", size]) for name in ("x", "y")]
    session = open_session(BuiltModel(onnx_wire.model(graph.nodes, graph.tensors, ends[:1], ends[1:]), graph.outside))
    product = session.run(None, {"x": np.ones((size, size), np.float32)})[0]
    return "int8_per_text" if np.allclose(product, 127 * size, rtol=1e-3) else "int8_per_block"
