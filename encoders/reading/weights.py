"""A transformer's weights under one set of names, whatever file they came from."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows looked up by number: float32, or int8 with one float32 scale a row [rows, 1]."""

    values: NDArray[Any]
    scale: Floats | None = None

    def rows(self) -> Floats:
        """The rows in float32."""
        values = self.values.astype("float32")
        return values if self.scale is None else values * self.scale


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """x @ weight + bias: weight [inputs, outputs], float32, or int8 with one float32 scale a column [outputs]."""

    weight: NDArray[Any]
    bias: Floats
    scale: Floats | None = None

    def floats(self) -> Floats:
        """The weight in float32."""
        weight = self.weight.astype("float32")
        return weight if self.scale is None else weight * self.scale


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """Layer normalisation's weight and bias, [dim]."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One post-norm transformer layer, as in BERT (Devlin et al., 2019)."""

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    out_norm: Norm
    up: Linear
    down: Linear
    down_norm: Norm

    def linears(self) -> tuple[Linear, ...]:
        """The six matrices, in the order in which they are used."""
        return (self.query, self.key, self.value, self.out, self.up, self.down)


@dataclass(frozen=True, slots=True, eq=False)
class Transformer:
    """A BERT-like encoder.

    `positions` starts at the first token's own row (RoBERTa's two unused rows are gone). `types` is None where the
    family has no segments. `relative` [buckets, heads] is MPNet's relative-position bias.
    """

    words: Table
    positions: Floats
    types: Floats | None
    norm: Norm
    layers: tuple[Layer, ...]
    heads: int
    epsilon: float
    activation: str
    relative: Floats | None = None

    @property
    def dim(self) -> int:
        """Numbers a token."""
        return int(self.positions.shape[1])

    def linears(self) -> list[Linear]:
        """Every matrix of every layer, in the order in which they are used."""
        return [linear for layer in self.layers for linear in layer.linears()]
