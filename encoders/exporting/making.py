"""Where an exported network comes from: the weights of a BERT-like model, or a graph that torch wrote."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from retr.encoders.exporting.portable import write_portable
from retr.encoders.graphs.quantising import quantised, restored
from retr.encoders.reading.families import Head
from retr.encoders.reading.record import Precision
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.network import Network
from retr.encoders.running.opening import open_weights

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

    `held` is the model in int8, once it was needed: every candidate is made of it.
    """

    weights: Transformer
    head: Head | None
    built: Literal["retr", "torch"] = "retr"
    held: list[Transformer] = field(default_factory=list)

    def units(self) -> list[str]:
        """`layers.0.attention`, `.out`, `.up`, `.down`, and so on; at last `words`."""
        parts = ("attention", "out", "up", "down")
        return [f"layers.{row}.{part}" for row in range(len(self.weights.layers)) for part in parts] + [WORDS]

    def write(self, path: Path, precision: Precision, kept: Collection[str] = ()) -> list[Path]:
        """The portable file."""
        weights = self._int8(kept) if precision == "int8" else self.weights
        return write_portable(path, weights, self.head, floats="float16" if precision == "float16" else "float32")

    def fast(self, kept: Collection[str]) -> Network | None:
        """The graph that retr builds from the same weights."""
        return open_weights(self._int8(kept), self.head is not None)[0]

    def _int8(self, kept: Collection[str]) -> Transformer:
        names: set[str] = set()
        for unit in kept:
            stem, _, part = unit.rpartition(".")
            names |= {f"{stem}.{name}" for name in ("query", "key", "value")} if part == "attention" else {unit}
        if not self.held:
            self.held.append(quantised(self.weights, words=True))
        return restored(self.held[0], self.weights, names - {WORDS}, words=WORDS in kept)
