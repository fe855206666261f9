"""An ONNX graph in the making: nodes and constants get their names here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retr.encoders.graphs import wire
from retr.encoders.graphs.wire import Array

INLINE_BYTES = 1 << 16
"""Larger constants stay outside of the file, which protobuf limits to 2 GiB; the session reads them where they are."""


@dataclass(frozen=True, slots=True, eq=False)
class BuiltModel:
    """An ONNX file, and the large constants that its session gets beside it."""

    file: bytes
    constants: dict[str, Array]


class Graph:
    """Nodes and constants. Every method that adds a node returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []
        self.outside: dict[str, Array] = {}

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """A constant of the graph."""
        array = np.ascontiguousarray(values, dtype=dtype)
        array = array.reshape(np.shape(values))  # ascontiguousarray makes a scalar one-dimensional
        name = f"c{len(self.tensors)}"
        if array.nbytes > INLINE_BYTES:
            self.outside[name] = array
            self.tensors.append(wire.outside_tensor(name, array))
        else:
            self.tensors.append(wire.tensor(name, array))
        return name

    def add(self, kind: str, *inputs: str, **attributes: int | float | Sequence[int]) -> str:
        """A node with one output. An operator that is not ONNX's own has its domain before a colon."""
        return self.split(kind, *inputs, count=1, **attributes)[0]

    def split(self, kind: str, *inputs: str, count: int, **attributes: int | float | Sequence[int]) -> list[str]:
        """A node with `count` outputs."""
        names = [f"n{len(self.nodes)}_{number}" for number in range(count)]
        self.nodes.append(wire.node(kind, inputs, names, attributes))
        return names

    def model(
        self, inputs: Sequence[str], output: str, dim: int, floats: Mapping[str, Sequence[int | str]] | None = None
    ) -> BuiltModel:
        """The ONNX file: int64 inputs [texts, tokens], output `last_hidden_state` [texts, tokens, dim].

        `floats` are float32 inputs with their shapes.
        """
        self.nodes.append(wire.node("Identity", [output], ["last_hidden_state"], {}))
        ids = [wire.value_info(name, wire.INT64, ["texts", "tokens"]) for name in inputs]
        ids += [wire.value_info(name, wire.FLOAT, shape) for name, shape in (floats or {}).items()]
        states = wire.value_info("last_hidden_state", wire.FLOAT, ["texts", "tokens", dim])
        return BuiltModel(wire.model(self.nodes, self.tensors, ids, [states]), self.outside)
