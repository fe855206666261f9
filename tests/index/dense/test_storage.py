"""What a storage keeps of a vector, that keeping it again loses nothing more, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from retr.index.dense.storage import CODECS, DENSE, SCALES, StoredVectors, write_vectors
from retr.index.disk.fsio import Disk
from retr.retrieval.errors import BadInput, Damaged

from .conftest import STORAGES, clustered

VECTORS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(-4, 4, width=32),
)


def stored(folder: Path, values: NDArray[np.float32], storage: str) -> StoredVectors:
    write_vectors(Disk(), folder, [values], values.shape[1], storage)  # type: ignore[arg-type]
    return StoredVectors.open(folder, *values.shape, storage)  # type: ignore[arg-type]


@pytest.mark.parametrize("storage", STORAGES)
@given(values=VECTORS)
@settings(max_examples=60, deadline=None)
def test_coding_decoded_vectors_gives_the_same_codes(storage: str, values: NDArray[np.float32]) -> None:
    codec = CODECS[storage]  # type: ignore[index]
    codes, scales = codec.encode(values)
    decoded = codec.decode(codes, np.empty(0, np.float32) if scales is None else scales, values.shape[1])
    again, scales_again = codec.encode(decoded)
    np.testing.assert_array_equal(again, codes)
    assert scales is None or np.array_equal(scales, np.asarray(scales_again))


@pytest.mark.parametrize("storage", STORAGES)
def test_files_written_from_a_part_are_the_parts_files(tmp_path: Path, storage: str) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    vectors = stored(first, clustered(500), storage)
    _, names = write_vectors(Disk(), second, vectors.blocks(77), vectors.dim, storage)  # type: ignore[arg-type]
    assert [(first / name).read_bytes() for name in names] == [(second / name).read_bytes() for name in names]


@pytest.mark.parametrize(("storage", "most"), [("float32", 0), ("float16", 3e-4), ("int8", 3e-3), ("binary", 0.8)])
def test_a_number_is_off_by_no_more_than_its_storage_allows(tmp_path: Path, storage: str, most: float) -> None:
    values = clustered(400)
    vectors = stored(tmp_path, values, storage)
    assert np.abs(vectors.span(0, 400) - values).max() <= most
    np.testing.assert_array_equal(vectors.take(np.array([399, 0, 7])), vectors.span(0, 400)[[399, 0, 7]])


def test_int8_divides_by_the_largest_number(tmp_path: Path) -> None:
    vectors = stored(tmp_path, np.array([[127, -63.5, 1, 0]], np.float32), "int8")
    assert np.load(tmp_path / DENSE).tolist() == [[127, -64, 1, 0]]
    assert np.load(tmp_path / SCALES).tolist() == [1.0]
    assert vectors.span(0, 1).tolist() == [[127, -64, 1, 0]]


def test_binary_keeps_signs_and_length(tmp_path: Path) -> None:
    vectors = stored(tmp_path, np.array([[3, -4, 0, 0, 0, 0, 0, 0, 12]], np.float32), "binary")
    assert np.load(tmp_path / DENSE).tolist() == [[0b10000000, 0b10000000]]
    decoded = vectors.span(0, 1)[0]
    assert np.sign(decoded).tolist() == [1, -1, -1, -1, -1, -1, -1, -1, 1]
    assert np.linalg.norm(decoded) == pytest.approx(13)


def test_every_finite_half_is_decoded_as_numpy_does() -> None:
    bits = np.arange(65_536, dtype=np.uint16).view(np.float16)
    halves = bits[np.isfinite(bits)].reshape(1, -1)
    decoded = CODECS["float16"].decode(halves, np.empty(0, np.float32), halves.shape[1])
    np.testing.assert_array_equal(decoded, halves.astype(np.float32))


@pytest.mark.parametrize("storage", ["int8", "binary"])
def test_a_length_too_small_for_float32_is_zero(tmp_path: Path, storage: str) -> None:
    vectors = stored(tmp_path, np.array([[1e-45, 0, 0, 0, 0]], np.float32), storage)
    assert not vectors.span(0, 1).any()
    assert not np.load(tmp_path / DENSE).any()


@pytest.mark.parametrize("storage", ["int8", "binary"])
def test_a_zero_vector_scores_zero(tmp_path: Path, storage: str) -> None:
    assert not stored(tmp_path, np.zeros((2, 5), np.float32), storage).span(0, 2).any()


@pytest.mark.parametrize("storage", STORAGES)
def test_no_rows_are_a_storage_too(tmp_path: Path, storage: str) -> None:
    rows, names = write_vectors(Disk(), tmp_path, [], 12, storage)  # type: ignore[arg-type]
    assert rows == 0
    assert [len(np.load(tmp_path / name)) for name in names] == [0] * len(names)
    assert StoredVectors.open(tmp_path, 0, 12, storage).span(0, 0).shape == (0, 12)  # type: ignore[arg-type]


def test_blocks_of_another_dim_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"\[rows, 4\]; got \[2, 3\]"):
        write_vectors(Disk(), tmp_path, [np.ones((2, 3), np.float32)], 4, "float32")


def test_a_number_too_large_for_float16_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="65504"):
        write_vectors(Disk(), tmp_path, [np.full((1, 2), 1e5, np.float32)], 2, "float16")


@pytest.mark.parametrize(("rows", "dim", "storage"), [(5, 8, "float32"), (4, 7, "float32"), (4, 8, "float16")])
def test_files_of_another_shape_are_damaged(tmp_path: Path, rows: int, dim: int, storage: str) -> None:
    stored(tmp_path, clustered(4, 8), "float32")
    with pytest.raises(Damaged, match="holds float32"):
        StoredVectors.open(tmp_path, rows, dim, storage)  # type: ignore[arg-type]


@pytest.mark.parametrize("keep", [0, 40, 130])
def test_a_shortened_file_is_damaged(tmp_path: Path, keep: int) -> None:
    stored(tmp_path, clustered(4, 8), "float32")
    content = (tmp_path / DENSE).read_bytes()
    (tmp_path / DENSE).write_bytes(content[:keep])
    with pytest.raises(Damaged, match="cannot be read"):
        StoredVectors.open(tmp_path, 4, 8, "float32")


def test_a_missing_file_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="cannot be read"):
        StoredVectors.open(tmp_path, 4, 8, "int8")
