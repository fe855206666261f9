"""Weights in float32 to int8: one scale a column of a matrix, one a row of the word table."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from retr.encoders.reading.weights import Layer, Linear, Table, Transformer
from retr.retrieval.errors import unknown

LINEARS = ("query", "key", "value", "out", "up", "down")
"""A layer's matrices, by the names of `Layer`'s fields."""

LARGEST = 127
"""-128 is left out, so that a weight and its negative are both there."""

SMALLEST = 1e-30
"""In place of a scale of zero, so that a column of zeros stays one."""


def linear_names(weights: Transformer) -> list[str]:
    """Every matrix that can be quantised: `layers.0.query` to `layers.N.down`."""
    return [f"layers.{number}.{name}" for number in range(len(weights.layers)) for name in LINEARS]


def quantised(weights: Transformer, keep: Collection[str] = frozenset(), *, words: bool = False) -> Transformer:
    """The same model with its matrices in int8, but for those that `keep` names (see `linear_names`).

    A kept matrix has no scale. With `words` the word table is quantised too. What is in int8 already stays as it is.
    """
    known = linear_names(weights)
    for name in keep:
        if name not in known:
            raise unknown("matrix", name, known)
    layers = tuple(_layer(layer, f"layers.{number}.", keep) for number, layer in enumerate(weights.layers))
    return replace(weights, layers=layers, words=quantised_table(weights.words) if words else weights.words)


def restored(
    weights: Transformer, original: Transformer, names: Collection[str], *, words: bool = False
) -> Transformer:
    """`weights` with the matrices of `names`, and with `words` the word table, as they are in `original`."""
    layers = []
    for number, (layer, before) in enumerate(zip(weights.layers, original.layers, strict=True)):
        back: dict[str, Any] = {name: getattr(before, name) for name in LINEARS if f"layers.{number}.{name}" in names}
        layers.append(replace(layer, **back))
    return replace(weights, layers=tuple(layers), words=original.words if words else weights.words)


def quantised_linear(linear: Linear) -> Linear:
    """Each column over its largest number, times 127, rounded: weight int8 [inputs, outputs], scale [outputs]."""
    if linear.scale is not None:
        return linear
    scale = np.maximum(np.abs(linear.weight).max(axis=0) / LARGEST, SMALLEST).astype(np.float32)
    return replace(linear, weight=np.rint(linear.weight / scale).astype(np.int8), scale=scale)


def quantised_table(table: Table) -> Table:
    """Each row over its largest number, times 127, rounded: values int8 [rows, dim], scale [rows, 1]."""
    if table.scale is not None:
        return table
    scale = np.maximum(np.abs(table.values).max(axis=1, keepdims=True) / LARGEST, SMALLEST).astype(np.float32)
    return Table(np.rint(table.values / scale).astype(np.int8), scale)


def _layer(layer: Layer, stem: str, keep: Collection[str]) -> Layer:
    changed: dict[str, Any] = {
        name: quantised_linear(getattr(layer, name)) for name in LINEARS if stem + name not in keep
    }
    return replace(layer, **changed)
