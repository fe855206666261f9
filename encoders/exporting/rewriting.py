"""A graph of the onnx package's to lower precision: int8 a token at a time, or float16 with the norms in float32."""

from collections.abc import Collection
from typing import Any

import numpy as np

from retr.encoders.exporting.products import SMALLEST, STEPS
from retr.encoders.graphs.quantising import quantised_linear
from retr.encoders.graphs.wire import FLOAT, FLOAT16, UINT8, Array
from retr.encoders.reading.weights import Linear


def matrices(model: Any) -> list[str]:
    """The names of the float32 initializers [inputs, outputs] that are the right side of a MatMul."""
    held = _held(model)
    names = [node.input[1] for node in model.graph.node if node.op_type == "MatMul"]
    return [name for name in dict.fromkeys(names) if name in held and _is_matrix(held[name])]


def to_int8(model: Any, kept: Collection[str] = ()) -> Any:
    """A copy whose matrices, but for the kept ones, are int8 with a scale a column; see `products` for the sums."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    held = _held(copy)
    chosen = [name for name in matrices(copy) if name not in kept]
    rewritten: list[Any] = []
    constants: dict[str, Array] = {
        "retr.axis": np.array([-1], np.int64),
        "retr.smallest": np.array(SMALLEST, np.float32),
        "retr.steps": np.array(STEPS, np.float32),
    }
    for node in copy.graph.node:
        if node.op_type == "MatMul" and node.input[1] in chosen:
            rewritten += _by_token(node.input[0], node.input[1], node.output[0])
        else:
            rewritten.append(node)
    for name in chosen:
        constants |= _stored(name, onnx.numpy_helper.to_array(held[name]))
    used = {name for node in rewritten for name in node.input}
    left = [tensor for tensor in copy.graph.initializer if tensor.name not in chosen or tensor.name in used]
    _replace(copy, rewritten, left + [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()])
    return copy


def to_float16(model: Any) -> Any:
    """A copy whose matrices and tables are float16 and multiplied so; all else stays float32: it cannot overflow."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    held, chosen = _held(copy), set(matrices(copy))
    tables = [node.input[0] for node in copy.graph.node if node.op_type == "Gather"]
    chosen |= {name for name in tables if name in held and _is_matrix(held[name])}
    rewritten: list[Any] = []
    for node in copy.graph.node:
        rewritten += _in_half(node, chosen)
    used = {name for node in rewritten for name in node.input}
    tensors = [tensor for name, tensor in held.items() if name not in chosen or name in used]
    for name in sorted(chosen):
        half = onnx.numpy_helper.to_array(held[name]).astype(np.float16)
        tensors.append(onnx.numpy_helper.from_array(half, f"{name}.half"))
    _replace(copy, rewritten, tensors)
    return copy


def _in_half(node: Any, chosen: set[str]) -> list[Any]:
    """The node, or those that do the same on the half of its weight."""
    from onnx.helper import make_node

    out = node.output[0]
    if node.op_type == "MatMul" and node.input[1] in chosen:
        return [
            make_node("Cast", [node.input[0]], [f"{out}.input"], to=FLOAT16),
            make_node("MatMul", [f"{out}.input", f"{node.input[1]}.half"], [f"{out}.half"]),
            make_node("Cast", [f"{out}.half"], [out], to=FLOAT),
        ]
    if node.op_type == "Gather" and node.input[0] in chosen:
        rows = make_node("Gather", [f"{node.input[0]}.half", node.input[1]], [f"{out}.half"])
        rows.attribute.extend(node.attribute)
        return [rows, make_node("Cast", [f"{out}.half"], [out], to=FLOAT)]
    return [node]


def without_traces(model: Any) -> Any:
    """The model without what torch says of its own source: lines of code, and paths of this machine."""
    for item in [model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    for item in (*model.graph.input, *model.graph.output):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    return model


def _held(model: Any) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def _is_matrix(tensor: Any) -> bool:
    return tensor.data_type == FLOAT and len(tensor.dims) == 2 and min(tensor.dims) > 1


def _stored(name: str, weight: Array) -> dict[str, Array]:
    """The int8 matrix, its scales, and the sum of each column."""
    found = quantised_linear(Linear(weight, np.zeros(weight.shape[1], np.float32)))
    scale = np.asarray(found.scale, np.float32)
    columns = found.weight.sum(axis=0, dtype=np.int64) * scale.astype(np.float64)
    return {f"{name}.int8": found.weight, f"{name}.scale": scale, f"{name}.columns": columns.astype(np.float32)}


def _by_token(x: str, name: str, out: str) -> list[Any]:
    """The nodes that stand in for one MatMul."""
    from onnx.helper import make_node

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return make_node(kind, inputs, [f"{out}.{output}" if output else out], **attributes)

    def of(part: str) -> str:
        return f"{out}.{part}"

    return [
        node("ReduceMin", [x, "retr.axis"], "least", keepdims=1),
        node("ReduceMax", [x, "retr.axis"], "most", keepdims=1),
        node("Sub", [of("most"), of("least")], "range"),
        node("Max", [of("range"), "retr.smallest"], "wide"),
        node("Div", [of("wide"), "retr.steps"], "size"),
        node("Sub", [x, of("least")], "above"),
        node("Div", [of("above"), of("size")], "part"),
        node("Round", [of("part")], "round"),
        node("Cast", [of("round")], "whole", to=UINT8),
        node("MatMulInteger", [of("whole"), f"{name}.int8"], "sums"),
        node("Cast", [of("sums")], "floats", to=FLOAT),
        node("Mul", [of("floats"), of("size")], "sized"),
        node("Mul", [of("sized"), f"{name}.scale"], "scaled"),
        node("Mul", [of("least"), f"{name}.columns"], "offset"),
        node("Add", [of("scaled"), of("offset")], ""),
    ]


def _replace(model: Any, nodes: list[Any], tensors: list[Any]) -> None:
    """Other nodes and initializers in the graph."""
    nodes, tensors = list(nodes), list(tensors)
    kept_nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
    kept_tensors = [type(tensor).FromString(tensor.SerializeToString()) for tensor in tensors]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(kept_nodes)
    model.graph.initializer.extend(kept_tensors)
    del model.graph.value_info[:]
