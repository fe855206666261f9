"""The small parts: threads, runs of equal length, pooling by hand, half precision, protobuf."""

import json
from pathlib import Path

import numpy as np
import pytest

from retr.encoders.graphs import wire
from retr.encoders.reading.families import by_distance
from retr.encoders.reading.safetensors_file import floats, read_safetensors, weight_files
from retr.encoders.running.pooling import pool, unit
from retr.encoders.running.session import equal_lengths, on_all_cores, threads
from retr.retrieval.errors import BadInput, Damaged, NotFound

STATES = np.array([[[1, 0], [2, 6], [6, 3]]], np.float32)  # one text, three tokens, two numbers each


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("cls", [1, 0]),
        ("lasttoken", [6, 3]),
        ("max", [6, 6]),
        ("mean", [3, 3]),
        ("mean_sqrt_len_tokens", [9 / 3**0.5, 9 / 3**0.5]),
        ("weightedmean", [(1 + 4 + 18) / 6, (12 + 9) / 6]),
    ],
)
def test_poolings_by_hand(mode: str, expected: list[float]) -> None:
    np.testing.assert_allclose(pool(STATES, [mode]), [expected], rtol=1e-6)


def test_a_prompts_tokens_are_left_out_but_keep_their_positions() -> None:
    np.testing.assert_allclose(pool(STATES, ["mean", "cls"], 1), [[4, 4.5, 2, 6]])
    np.testing.assert_allclose(pool(STATES, ["weightedmean"], 1), [[(4 + 18) / 5, (12 + 9) / 5]])


def test_one_token_is_always_kept() -> None:
    np.testing.assert_allclose(pool(STATES, ["mean"], 9), [[6, 3]])


def test_a_vector_of_zeros_stays_one() -> None:
    np.testing.assert_array_equal(
        unit(np.array([[0, 0], [3, 4]], np.float32)), np.array([[0, 0], [0.6, 0.8]], np.float32)
    )


def test_runs_hold_equal_lengths_within_the_budget() -> None:
    lengths = [3, 5, 3, 3, 9, 5]
    assert equal_lengths(lengths, 6) == [[4], [1], [5], [0, 2], [3]]
    assert equal_lengths(lengths, 0) == [[4], [1], [5], [0], [2], [3]]
    assert equal_lengths([], 6) == []


def test_an_error_in_a_worker_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETR_THREADS", "2")

    def fail(rows: list[int]) -> np.ndarray:
        raise BadInput(f"row {rows[0]}")

    with pytest.raises(BadInput, match="row 0"):
        on_all_cores([[0], [1], [2]], fail, np.empty((3, 1), np.float32))


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_threads_is_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RETR_THREADS", value)
    with pytest.raises(BadInput, match="RETR_THREADS"):
        threads()


def test_threads_may_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETR_THREADS", "3")
    assert threads() == 3
    monkeypatch.delenv("RETR_THREADS")
    assert threads() >= 1


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0, 0.25], np.float32)
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    parts = {"half": ("F16", values.astype(np.float16)), "brain": ("BF16", upper), "full": ("F32", values)}
    head, data = {}, b""
    for name, (dtype, array) in parts.items():
        head[name] = {"dtype": dtype, "shape": [3], "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(head).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    for tensor in read_safetensors([path]).values():
        np.testing.assert_array_equal(floats(tensor), values)


def test_an_index_names_the_files_and_not_places_outside(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "one.safetensors", "b": "../../two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "one.safetensors").touch()
    with pytest.raises(NotFound, match=r"two\.safetensors"):
        weight_files(tmp_path)


def test_mpnets_buckets_are_symmetric_in_size_and_told_apart_by_side() -> None:
    table = by_distance(np.arange(32, dtype=np.float32)[:, None], 300)[:, 0]
    here = 299
    assert table[here] == 0
    assert [table[here - 1], table[here - 7], table[here - 8]] == [1, 7, 8]  # earlier tokens: the first half
    assert [table[here + 1], table[here + 7], table[here + 8]] == [17, 23, 24]  # later ones: the second
    assert [table[0], table[-1]] == [15, 31]  # beyond 128 all share the last bucket


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1])
def test_numbers_survive_protobuf(value: int) -> None:
    [(field, found)] = wire.fields(memoryview(wire.number(3, value)))
    assert (field, found) == (3, value)


def test_tensors_survive_an_onnx_file() -> None:
    given = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(-7, np.int64), "c": np.array([], np.int8)}
    file = wire.model([], [wire.tensor(name, values) for name, values in given.items()], [], [])
    found = wire.read_tensors(file)
    assert found.keys() == given.keys()
    for name, values in given.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].shape == values.shape


@pytest.mark.parametrize("junk", [b"\x3a\xff\xff\xff\xff\x7f", b"\x3b", b"\x3a\x03\x2a\x05a", b"\xff" * 12])
def test_junk_is_no_onnx_file(junk: bytes) -> None:
    with pytest.raises(Damaged, match="ONNX"):
        wire.read_tensors(junk)
