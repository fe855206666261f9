"""Vectors, ragged TokenVectors, and numbers that are none."""

import numpy as np
import pytest

from retr.retrieval.embeddings import TokenVectors, Vectors, check_finite
from retr.retrieval.errors import BadInput, Mismatch


def tokens(offsets: list[int], dim: int = 2) -> TokenVectors:
    values = np.arange(offsets[-1] * dim, dtype=np.float32).reshape(-1, dim)
    return TokenVectors(values, np.array(offsets, dtype=np.int64))


def test_vectors_know_their_number_and_dim() -> None:
    vectors = Vectors(np.zeros((3, 5), dtype=np.float32))
    assert (len(vectors), vectors.dim) == (3, 5)


def test_no_texts_are_zero_vectors_that_keep_their_dim() -> None:
    vectors = Vectors(np.zeros((0, 5), dtype=np.float32))
    assert (len(vectors), vectors.dim) == (0, 5)


@pytest.mark.parametrize("values", [np.zeros(3, dtype=np.float32), np.zeros((3, 5)), np.zeros((1, 2, 3), np.float32)])
def test_vectors_of_another_shape_or_type_are_refused(values: np.ndarray) -> None:
    with pytest.raises(BadInput, match="float32 array"):
        Vectors(values)


def test_token_vectors_give_each_text_its_own_rows() -> None:
    ragged = tokens([0, 2, 2, 3])
    assert [rows.tolist() for rows in ragged] == [[[0, 1], [2, 3]], [], [[4, 5]]]
    assert (len(ragged), ragged.dim) == (3, 2)


@pytest.mark.parametrize("offsets", [[], [1, 2], [0, 2, 1]])
def test_offsets_that_do_not_rise_from_zero_are_refused(offsets: list[int]) -> None:
    with pytest.raises(BadInput, match="rising"):
        TokenVectors(np.zeros((2, 2), np.float32), np.array(offsets, dtype=np.int64))


def test_offsets_of_another_type_are_refused() -> None:
    with pytest.raises(BadInput, match="int64"):
        TokenVectors(np.zeros((2, 2), np.float32), np.array([0, 2], dtype=np.int32))  # type: ignore[arg-type]


def test_offsets_must_cover_all_tokens() -> None:
    with pytest.raises(Mismatch, match="The last offset is 1, but there are 2"):
        TokenVectors(np.zeros((2, 2), np.float32), np.array([0, 1], dtype=np.int64))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused_with_its_row(number: float) -> None:
    values = np.zeros((4, 2), dtype=np.float32)
    values[2, 1] = number
    with pytest.raises(BadInput, match="Vector 2 "):
        check_finite(Vectors(values))


def test_ordinary_numbers_pass() -> None:
    check_finite(Vectors(np.ones((2, 2), dtype=np.float32)))
    check_finite(tokens([0, 1]))
