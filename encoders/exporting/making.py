"""Where an exported network comes from: the weights of a BERT-like model, or a graph that torch wrote."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from retr.encoders.exporting.portable import write_portable
from retr.encoders.graphs.quantising import quantised, restored
from retr.encoders.reading.families import Head, is_known, read_head, read_transformer
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.record import Precision
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.network import Network
from retr.encoders.running.opening import open_weights
from retr.retrieval.errors import BadInput, missing_package

WORDS = "words"
"""The unit that is the word table."""


class Maker(Protocol):
    """Writes a network in any precision; `units` are what int8 may spare."""

    @property
    def built(self) -> Literal["retr", "torch"]:
        """Who wrote the graph."""
        ...

    def units(self) -> list[str]:
        """The parts that are quantised, or kept in float, each as a whole."""
        ...

    def write(self, path: Path, precision: Precision, kept: Collection[str] = ()) -> list[Path]:
        """Write the ONNX file; which files were written."""
        ...

    def fast(self, kept: Collection[str]) -> Network | None:
        """The int8 network as retr runs it, where that is not the file itself."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FromWeights:
    """A BERT-like model: a unit is attention's three inputs, or one other matrix, or the word table.

    `rows`: the file reads a context with its candidates. `held` is the model in int8, once it was needed: every
    candidate is made of it.
    """

    weights: Transformer
    head: Head | None
    built: Literal["retr", "torch"] = "retr"
    rows: bool = False
    held: list[Transformer] = field(default_factory=list)

    def units(self) -> list[str]:
        """`layers.0.attention`, `.out`, `.up`, `.down`, and so on; at last `words`."""
        parts = ("attention", "out", "up", "down")
        return [f"layers.{row}.{part}" for row in range(len(self.weights.layers)) for part in parts] + [WORDS]

    def write(self, path: Path, precision: Precision, kept: Collection[str] = ()) -> list[Path]:
        """The portable file."""
        weights = self.lowered(kept) if precision == "int8" else self.weights
        floats = "float16" if precision == "float16" else "float32"
        return write_portable(path, weights, self.head, floats=floats, rows=self.rows)

    def fast(self, kept: Collection[str]) -> Network | None:
        """The graph that retr builds from the same weights."""
        return open_weights(self.lowered(kept), self.head is not None)[0]

    def lowered(self, kept: Collection[str]) -> Transformer:
        """The model in int8, but for the units to keep."""
        names: set[str] = set()
        for unit in kept:
            stem, _, part = unit.rpartition(".")
            names |= {f"{stem}.{name}" for name in ("query", "key", "value")} if part == "attention" else {unit}
        if not self.held:
            self.held.append(quantised(self.weights, words=True))
        return restored(self.held[0], self.weights, names - {WORDS}, words=WORDS in kept)


def open_maker(folder: Path, classifier: bool, workspace: Path, report: Callable[[str], None]) -> Maker:
    """The maker of a transformers folder; what is not BERT's family is traced by torch, in `workspace`."""
    config = read_json(folder / "config.json")
    files = weight_files(folder)
    if not files:
        raise BadInput(f"{folder} has no model.safetensors to export from. Save the model as safetensors.")
    if is_known(config):
        tensors = read_safetensors(files)
        head = read_head(tensors, config) if classifier else None
        return FromWeights(read_transformer(tensors, config), head)
    for package in ("torch", "transformers", "onnxscript", "onnx"):
        if find_spec(package) is None:
            needed = f"Exporting a model of the type {config.get('model_type')!r}"
            raise missing_package(package, needed_for=needed, extra="export")
    from retr.encoders.exporting.by_torch import trace

    report("tracing the model with torch")
    traced: Maker = trace(folder, classifier, workspace)
    return traced
