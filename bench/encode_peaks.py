"""The fastest matrix products that this machine shows, on one core: `encode_peaks.py RESULT.json [REPEATS]`.

GFLOP (int8 operations are counted alike) per CPU second, the best of all repeats, of torch (oneDNN), numpy (its BLAS)
and ONNX Runtime, at a large square shape and at the two shapes of MiniLM's layers with 4,096 tokens. This is the upper
end against which bench/encode.py holds what an encoder reaches. Needs torch and onnx.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

SHAPES = ((2048, 2048, 2048), (4096, 384, 1536), (4096, 384, 384))
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
REPEATS = 7
LEAST_GFLOP = 5.0  # of one timed repeat, so that the steps of the clock do not matter
Shape = tuple[int, int, int]
Product = tuple[str, str, Callable[[], object]]
"""Precision, library and operator, and what to call."""


def main() -> None:
    """Write {precision: {library and operator: {"M×K×N": GFLOP per CPU second}}}."""
    os.environ.update(dict.fromkeys(THREADS, "1"))  # the libraries read it when they are imported
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else REPEATS
    found: dict[str, dict[str, dict[str, float]]] = {}
    for shape in SHAPES:
        for precision, title, product in (*by_torch(shape), *by_numpy(shape), *by_onnxruntime(shape)):
            rates = found.setdefault(precision, {}).setdefault(title, {})
            rates["×".join(map(str, shape))] = round(best(product, shape, repeats), 1)
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")


def best(product: Callable[[], object], shape: Shape, repeats: int) -> float:
    """GFLOP per CPU second of the fastest repeat."""
    gflop = 2 * shape[0] * shape[1] * shape[2] / 1e9
    times = max(1, round(LEAST_GFLOP / gflop))
    product()
    least = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        for _ in range(times):
            product()
        least = min(least, time.process_time() - started)
    return times * gflop / least


def by_torch(shape: Shape) -> Iterator[Product]:
    """float32, bfloat16 and int8, into arrays that are there already where torch allows it."""
    import torch

    torch.set_num_threads(1)
    rows, inner, columns = shape
    left, right, out = torch.randn(rows, inner), torch.randn(inner, columns), torch.empty(rows, columns)
    half = left.bfloat16(), right.bfloat16(), out.bfloat16()
    whole = torch.randint(-127, 127, (rows, inner), dtype=torch.int8)
    weights = torch.randint(-127, 127, (inner, columns), dtype=torch.int8)
    yield "float32", "torch mm", lambda: torch.mm(left, right, out=out)
    yield "bfloat16", "torch mm", lambda: torch.mm(half[0], half[1], out=half[2])
    yield "int8", "torch _int_mm", lambda: torch._int_mm(whole, weights)


def by_numpy(shape: Shape) -> Iterator[Product]:
    """float32."""
    import numpy as np

    left, right = matrices(shape)
    out = np.empty((shape[0], shape[2]), np.float32)
    yield "float32", "numpy matmul", lambda: np.matmul(left, right, out=out)


def by_onnxruntime(shape: Shape) -> Iterator[Product]:
    """float32, int8 with sums only, and int8 with the quantising of the left side that an encoder needs."""
    import numpy as np

    left, right = matrices(shape)
    weights = np.random.default_rng(7).integers(-127, 128, right.shape, np.int8)
    small = np.random.default_rng(8).integers(0, 256, left.shape, np.uint8)
    scale = np.array(0.01, np.float32)
    products = {
        ("float32", "MatMul"): (left, [right]),
        ("int8", "MatMulInteger"): (small, [weights]),
        ("int8", "DynamicQuantizeMatMul"): (left, [weights, scale]),
    }
    for (precision, operator), (given, constants) in products.items():
        session = opened(operator, given, constants)
        yield precision, f"ONNX Runtime {operator}", partial(session.run, None, {"a": given})


def matrices(shape: Shape) -> tuple[Any, Any]:
    """float32 [M, K] and [K, N]."""
    import numpy as np

    draw = np.random.default_rng(7)
    left = draw.standard_normal(shape[:2], np.float32)
    return left, draw.standard_normal(shape[1:], np.float32)


def opened(operator: str, given: Any, constants: list[Any]) -> Any:
    """A session of one operator: the left side comes at run time, the rest is packed when it is opened."""
    import onnx
    import onnxruntime

    domain = "com.microsoft" if operator == "DynamicQuantizeMatMul" else ""
    kept = [onnx.numpy_helper.from_array(array, f"c{at}") for at, array in enumerate(constants)]
    kind = onnx.helper.np_dtype_to_tensor_dtype(given.dtype)
    result = onnx.TensorProto.INT32 if operator == "MatMulInteger" else onnx.TensorProto.FLOAT
    node = onnx.helper.make_node(operator, ["a", *(one.name for one in kept)], ["y"], domain=domain)
    left = onnx.helper.make_tensor_value_info("a", kind, given.shape)
    right = onnx.helper.make_tensor_value_info("y", result, None)
    graph = onnx.helper.make_graph([node], "product", [left], [right], kept)
    imports = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
