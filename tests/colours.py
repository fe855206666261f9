"""A model of images and texts that knows colours by construction, and pictures for it: no training, no torch.

A word of COLOURS and a patch of that colour have the same vector, so the right answer of a search is known beforehand.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *COLOURS, "a", "square", "and", "the", "fish", "cold", "water"]
SIZE, PATCH, DIM = 32, 8, 8
"""A picture is brought to 32 x 32, which is 4 x 4 patches; a vector has its colour in its first three numbers."""


def make_colours(folder: Path, *, seed: int = 0, interaction: str = "tokens") -> Path:
    """The folder of a model of the kind filip; the seed is in the vectors of words that are no colours."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0, 1, (len(WORDS), DIM)).astype(np.float32)
    table[:, :3] = 0
    for word, colour in COLOURS.items():
        table[WORDS.index(word)] = [*(part / 255 for part in colour), *[0.0] * (DIM - 3)]
    whole = interaction == "global"
    _write_network(folder / "image", _image_network(rng.normal(0, 1e-3, DIM - 3), whole))
    _write_network(folder / "text", _text_network(table, whole))
    settings: Mapping[str, Any] = {
        "retr.json": {"filip": {"kind": "filip", "interaction": interaction, "dim": DIM, "scales": 1}},
        "image/config.json": {"image_size": SIZE, "patch_size": PATCH},
        "image/preprocessor_config.json": {"size": {"height": SIZE, "width": SIZE}, "resample": 0},
        "text/config.json": {"max_position_embeddings": 24, "pad_token_id": 0},
        "text/tokenizer_config.json": {"do_lower_case": True, "model_max_length": 24},
    }
    for name, content in settings.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "text" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def draw(path: Path, *colours: str, size: int = 64) -> Path:
    """A white picture with a square of each colour: the first in its upper left quarter, the next in the upper right,
    then below. A square is 2 x 2 patches."""
    image = pytest.importorskip("PIL.Image").new("RGB", (size, size), COLOURS["white"])
    half = size // 2
    for at, colour in enumerate(colours):
        left, top = at % 2 * half, at // 2 * half
        image.paste(COLOURS[colour], (left, top, left + half, top + half))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def _write_network(folder: Path, model: Any) -> None:
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_bytes(model.SerializeToString())


def _image_network(rest: np.ndarray, whole: bool) -> Any:
    """Each patch's mean colour, of 0 to 1, and a little that no patch lacks; of unit length."""
    pool = {"kernel_shape": [PATCH, PATCH], "strides": [PATCH, PATCH]}
    mix = np.concatenate([np.eye(3), np.zeros((3, DIM - 3))], axis=1).astype(np.float32) / 2
    bias = np.concatenate([np.full(3, 0.5), rest]).astype(np.float32)
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("AveragePool", ["pixel_values"], "pooled", pool),
        ("Reshape", ["pooled", "flat"], "rows", {}),
        ("Transpose", ["rows"], "patches", {"perm": [0, 2, 1]}),
        ("MatMul", ["patches", "mix"], "mixed", {}),
        ("Add", ["mixed", "bias"], "found", {}),
    ]
    patches = (SIZE // PATCH) ** 2
    constants = {"flat": np.array([0, 3, patches], np.int64), "mix": mix, "bias": bias}
    return _network(nodes, constants, ("pixel_values", "float", ["rows", 3, SIZE, SIZE]), whole)


def _text_network(table: np.ndarray, whole: bool) -> Any:
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [("Gather", ["table", "input_ids"], "found", {})]
    return _network(nodes, {"table": table}, ("input_ids", "int64", ["rows", "tokens"]), whole)


def _network(nodes: list[Any], constants: Mapping[str, np.ndarray], given: tuple[str, str, Any], whole: bool) -> Any:
    onnx = pytest.importorskip("onnx")
    if whole:
        nodes = [*nodes, ("ReduceMean", ["found", "middle"], "one", {"keepdims": 0})]
        constants = {**constants, "middle": np.array([1], np.int64)}
    nodes = [*nodes, ("LpNormalization", ["one" if whole else "found"], "vectors", {"axis": -1, "p": 2})]
    types = {"float": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, inputs, [output], **told) for kind, inputs, output, told in nodes],
        "colours",
        [onnx.helper.make_tensor_value_info(given[0], types[given[1]], given[2])],
        [onnx.helper.make_tensor_value_info("vectors", types["float"], None)],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
