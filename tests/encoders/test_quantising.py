"""float32 weights to int8: the rounding by hand, what is kept, and what a wrong name says."""

from typing import Any

import numpy as np
import pytest

from retr.encoders.graphs.quantising import (
    linear_names,
    quantised,
    quantised_linear,
    quantised_table,
    restored,
)
from retr.encoders.reading.families import read_transformer
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.encoders.reading.weights import Linear, Table, Transformer
from retr.retrieval.errors import NotFound


@pytest.fixture
def weights(make_bi: Any) -> Transformer:
    folder = make_bi()
    return read_transformer(read_safetensors(weight_files(folder)), read_json(folder / "config.json"))


def test_a_matrix_by_hand() -> None:
    weight = np.array([[254, 0.5, 0], [-127, -1, 0]], np.float32)
    found = quantised_linear(Linear(weight, np.zeros(3, np.float32)))
    assert found.weight.tolist() == [[127, 64, 0], [-64, -127, 0]]
    assert found.weight.dtype == np.int8
    np.testing.assert_allclose(found.scale, [2, 1 / 127, 0], atol=1e-20)


def test_a_table_has_a_scale_for_every_row() -> None:
    found = quantised_table(Table(np.array([[127, -2], [0, 0]], np.float32)))
    assert found.values.tolist() == [[127, -2], [0, 0]]
    np.testing.assert_allclose(found.scale, [[1], [0]], atol=1e-20)
    np.testing.assert_allclose(found.rows(), [[127, -2], [0, 0]])


def test_no_number_moves_by_more_than_half_a_step(weights: Transformer) -> None:
    before, after = weights.layers[1].up, quantised(weights).layers[1].up
    assert after.scale is not None
    assert np.all(np.abs(after.floats() - before.weight) <= after.scale * 0.5001)
    assert np.abs(after.weight).max() == 127


def test_kept_matrices_are_the_ones_given(weights: Transformer) -> None:
    found = quantised(weights, {"layers.0.down", "layers.1.key"}, words=True)
    kept = {
        name
        for name in linear_names(weights)
        if getattr(found.layers[int(name.split(".")[1])], name.split(".")[2]).scale is None
    }
    assert kept == {"layers.0.down", "layers.1.key"}
    assert found.layers[0].down is weights.layers[0].down
    assert found.words.scale is not None
    assert quantised(weights).words is weights.words


def test_what_is_in_int8_stays_as_it_is(weights: Transformer) -> None:
    once = quantised(weights, words=True)
    again = quantised(once, words=True)
    assert again.layers[0].up is once.layers[0].up
    assert again.words is once.words


def test_an_unknown_matrix_is_an_error_that_names_the_near_one(weights: Transformer) -> None:
    with pytest.raises(NotFound, match=r"layers\.0\.dwn.*layers\.0\.down"):
        quantised(weights, {"layers.0.dwn"})


def test_restored_matrices_make_what_keeping_them_would_have(weights: Transformer) -> None:
    names = {"layers.0.down", "layers.1.key"}
    one, two = restored(quantised(weights, words=True), weights, names, words=True), quantised(weights, names)
    for name in linear_names(weights):
        _, row, part = name.split(".")
        left, right = (getattr(item.layers[int(row)], part) for item in (one, two))
        np.testing.assert_array_equal(left.weight, right.weight)
        assert (left.scale is None) == (right.scale is None) == (name in names)
    assert one.words is weights.words
