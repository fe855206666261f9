"""A file that `retr export` built, read back: weights by their names, and the settings in its metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs.wire import Array, read_metadata, read_tensors
from retr.encoders.reading.families import Head
from retr.encoders.reading.folder import inside
from retr.encoders.reading.weights import Layer, Linear, Norm, Table, Transformer
from retr.retrieval.errors import Damaged

SETTINGS = "retr"
"""The key of the file's metadata that holds what the weights do not say."""


def read_exported(path: Path) -> tuple[Transformer, Head | None]:
    """The weights of an ONNX file that was built here, and the classifier's head where it has one."""
    data = np.memmap(path, np.uint8, mode="r").data
    try:
        settings = json.loads(read_metadata(data)[SETTINGS])
        tensors = read_tensors(data, lambda name: np.memmap(inside(path.parent, name), np.uint8, mode="r"))
        return _transformer(tensors, settings), _head(tensors, settings["head"])
    except (KeyError, ValueError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(
            f"{path} is not what `retr export` wrote ({type(error).__name__}: {reason}). Export again."
        ) from None


def _transformer(tensors: Mapping[str, Array], settings: Mapping[str, Any]) -> Transformer:
    return Transformer(
        words=Table(_stored(tensors["words"]), tensors.get("words.scale")),
        positions=_floats(tensors["positions"]),
        types=_floats(tensors["types"]) if "types" in tensors else None,
        norm=_norm(tensors, "norm"),
        layers=tuple(_layer(tensors, f"layers.{number}") for number in range(int(settings["layers"]))),
        heads=int(settings["heads"]),
        epsilon=float(settings["epsilon"]),
        activation=str(settings["activation"]),
        relative=tensors.get("relative"),
    )


def _layer(tensors: Mapping[str, Array], name: str) -> Layer:
    query, key, value = _three(tensors, name)
    out, up, down = (_linear(tensors, f"{name}.{part}") for part in ("out", "up", "down"))
    norms = (_norm(tensors, f"{name}.{part}") for part in ("out_norm", "down_norm"))
    first, second = norms
    return Layer(query, key, value, out, first, up, down, second)


def _three(tensors: Mapping[str, Array], name: str) -> list[Linear]:
    """Query, key and value, which stand side by side in one matrix where they are stored alike."""
    if f"{name}.attention.weight" not in tensors:
        return [_linear(tensors, f"{name}.{part}") for part in ("query", "key", "value")]
    together = _linear(tensors, f"{name}.attention")
    weights = np.split(together.weight, 3, axis=1)
    scales = [None] * 3 if together.scale is None else np.split(together.scale, 3)
    biases = np.split(together.bias, 3)
    return [
        Linear(np.ascontiguousarray(weight), bias, scale)
        for weight, bias, scale in zip(weights, biases, scales, strict=True)
    ]


def _head(tensors: Mapping[str, Array], activation: str | None) -> Head | None:
    if activation is None:
        return None
    return Head(_linear(tensors, "head.dense"), activation, _linear(tensors, "head.out"))


def _linear(tensors: Mapping[str, Array], name: str) -> Linear:
    return Linear(_stored(tensors[f"{name}.weight"]), _floats(tensors[f"{name}.bias"]), tensors.get(f"{name}.scale"))


def _norm(tensors: Mapping[str, Array], name: str) -> Norm:
    return Norm(_floats(tensors[f"{name}.weight"]), _floats(tensors[f"{name}.bias"]))


def _stored(values: Array) -> Array:
    """int8 as it is; a half widened."""
    return values if values.dtype == np.int8 else _floats(values)


def _floats(values: Array) -> Array:
    return np.asarray(values, np.float32)
