"""A graph whose weights have names of their own, kept as arrays until the file is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs import wire
from retr.encoders.graphs.wire import Array

OPSETS = {"": 18}
"""Only ONNX's own operators: ONNX Runtime from 1.14 and OpenVINO from 2023 read these."""

LARGEST_INSIDE = 3 << 29
"""Bytes (1.5 GiB): with more, the weights go into a second file, since protobuf ends at 2 GiB."""

SMALLEST_OUTSIDE = 1024
"""Bytes: smaller constants stay in the file, where runtimes look for shapes."""

PAGE = 4096
"""Where a tensor may start in the second file, so that runtimes can map it."""


@dataclass(slots=True, eq=False)
class Named:
    """Nodes and constants of a file in the making; `floats` is the type of weights that are not int8."""

    floats: str = "float32"
    nodes: list[bytes] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)

    def named(self, name: str, values: Any, dtype: str) -> str:
        """A weight, by the name it is read back by."""
        array = np.asarray(values, dtype=dtype)
        self.arrays[name] = array if array.flags.c_contiguous else array.copy()
        return name

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """A number of the graph's own."""
        return self.named(f"c{len(self.arrays)}", values, dtype)

    def add(self, kind: str, *inputs: str, **attributes: int | float | Sequence[int]) -> str:
        """A node with one output; its name."""
        return self.split(kind, *inputs, count=1, **attributes)[0]

    def split(self, kind: str, *inputs: str, count: int, **attributes: int | float | Sequence[int]) -> list[str]:
        """A node with `count` outputs; their names."""
        names = [f"n{len(self.nodes)}_{number}" for number in range(count)]
        self.nodes.append(wire.node(kind, inputs, names, attributes))
        return names


@dataclass(frozen=True, slots=True)
class Ends:
    """The inputs (int64 [texts, tokens]) of a file, its float32 output and the output's shape.

    `floats` are float32 inputs with their shapes.
    """

    inputs: tuple[str, ...]
    output: str
    shape: tuple[int | str, ...]
    floats: tuple[tuple[str, tuple[int | str, ...]], ...] = ()


def write(path: Path, graph: Named, ends: Ends, metadata: Mapping[str, str]) -> list[Path]:
    """Write the ONNX file, and `FILE_data` beside it where the weights are too large for one; which were written.

    Weights go to the disk from where they are: nothing is held twice.
    """
    total = sum(array.nbytes for array in graph.arrays.values())
    beside = path.with_name(f"{path.name}_data") if total > LARGEST_INSIDE else None
    places = {} if beside is None else _write_beside(beside, graph.arrays)
    body: list[Any] = [wire.chunk(1, node) for node in graph.nodes] + [wire.chunk(2, "retr")]
    for name, array in graph.arrays.items():
        body += _tensor(name, array, places.get(name))
    body += [wire.chunk(11, wire.value_info(name, wire.INT64, ["texts", "tokens"])) for name in ends.inputs]
    body += [wire.chunk(11, wire.value_info(name, wire.FLOAT, shape)) for name, shape in ends.floats]
    body.append(wire.chunk(12, wire.value_info(ends.output, wire.FLOAT, ends.shape)))
    with path.open("wb") as file:
        file.write(wire.number(1, wire.IR_VERSION) + wire.chunk(2, "retr"))
        file.write(wire.head(7, sum(len(piece) for piece in body)))
        file.writelines(body)
        for domain, version in OPSETS.items():
            file.write(wire.chunk(8, (wire.chunk(1, domain) if domain else b"") + wire.number(2, version)))
        for key, value in metadata.items():
            file.write(wire.chunk(14, wire.chunk(1, key) + wire.chunk(2, value)))
    return [path] if beside is None else [path, beside]


def _tensor(name: str, array: Array, place: Mapping[str, str] | None) -> Iterator[Any]:
    """One initializer of the graph, in pieces."""
    if place is not None:
        yield wire.chunk(5, wire.outside_head(name, array, place))
        return
    start = wire.tensor_head(name, array) + wire.head(9, array.nbytes)
    yield wire.head(5, len(start) + array.nbytes) + start
    yield array.reshape(-1).view(np.uint8).data if array.nbytes else b""


def _write_beside(path: Path, arrays: Mapping[str, Array]) -> dict[str, dict[str, str]]:
    """The second file; where in it each array lies."""
    places = {}
    with path.open("wb") as file:
        for name, array in arrays.items():
            if array.nbytes < SMALLEST_OUTSIDE:
                continue
            file.write(bytes(-file.tell() % PAGE))
            places[name] = {"location": path.name, "offset": str(file.tell()), "length": str(array.nbytes)}
            file.write(array.reshape(-1).view(np.uint8).data)
    return places
