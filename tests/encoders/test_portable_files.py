"""The ONNX files that are built for other runtimes: right under padding, plain, read back as they were written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder
from retr.encoders.exporting import named
from retr.encoders.exporting.portable import write_portable
from retr.encoders.graphs.quantising import linear_names, quantised
from retr.encoders.graphs.wire import outside_locations
from retr.encoders.reading.exported import read_exported
from retr.encoders.reading.families import read_head, read_transformer
from retr.encoders.reading.safetensors_file import read_safetensors
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.transformer import open_transformer
from retr.retrieval.errors import BadInput, Damaged

FAMILIES = ["bert", "roberta", "xlm-roberta", "mpnet", "distilbert"]
LENGTHS = [2, 5, 5, 9, 17]


def weights_of(folder: Path) -> Transformer:
    config = json.loads((folder / "config.json").read_text())
    return read_transformer(read_safetensors([folder / "model.safetensors"]), config)


def texts_of(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(5, 40, size) for size in lengths]


def run(path: Path, texts: list[np.ndarray], *, left: int = 0, right: int = 0) -> list[np.ndarray]:
    """All texts in one batch, padded to the longest and then by so many columns more; each text's own states."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    width = max(map(len, texts)) + left + right
    ids = np.full((len(texts), width), 1, np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, left : left + len(text)], mask[row, left : left + len(text)] = text, 1
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    states = session.run(None, {item.name: given[item.name] for item in session.get_inputs()})[0]
    return [states[row, left : left + len(text)] for row, text in enumerate(texts)]


def expected(weights: Transformer, texts: list[np.ndarray]) -> list[np.ndarray]:
    network, _ = open_transformer(weights, segments=False)
    return [network(text[None].astype(np.int64), np.zeros((1, len(text)), np.int64))[0] for text in texts]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("left", "right"), [(0, 0), (0, 4), (3, 0)])
def test_padding_on_either_side_changes_no_token(
    make_bi: Any, tmp_path: Path, family: str, left: int, right: int
) -> None:
    weights, texts = weights_of(make_bi(family)), texts_of(LENGTHS)
    write_portable(tmp_path / "m.onnx", weights)
    for found, exact in zip(
        run(tmp_path / "m.onnx", texts, left=left, right=right), expected(weights, texts), strict=True
    ):
        np.testing.assert_allclose(found, exact, atol=2e-5)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_every_activation_is_written(make_bi: Any, tmp_path: Path, activation: str) -> None:
    from dataclasses import replace

    weights, texts = replace(weights_of(make_bi()), activation=activation), texts_of([6])
    write_portable(tmp_path / "m.onnx", weights)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", texts)[0], expected(weights, texts)[0], atol=2e-5)


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_an_int8_text_does_not_depend_on_its_batch_mates(make_bi: Any, tmp_path: Path, family: str) -> None:
    write_portable(tmp_path / "m.onnx", quantised(weights_of(make_bi(family)), words=True))
    texts = texts_of(LENGTHS)
    together = run(tmp_path / "m.onnx", texts, right=3)
    other = run(tmp_path / "m.onnx", [texts[0], *texts_of([3, 20], seed=9)])[0]
    alone = [run(tmp_path / "m.onnx", [text])[0] for text in texts]
    for one, two in zip([*together, other], [*alone, alone[0]], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_int8_is_near_float32_and_is_not_float32(make_bi: Any, tmp_path: Path) -> None:
    weights, texts = weights_of(make_bi()), texts_of(LENGTHS)
    write_portable(tmp_path / "m.onnx", quantised(weights, words=True))
    for found, exact in zip(run(tmp_path / "m.onnx", texts), expected(weights, texts), strict=True):
        cosines = (found * exact).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
        assert 0.995 < cosines.min() < 0.99999999


def test_a_token_of_equal_numbers_is_multiplied_exactly(make_bi: Any, tmp_path: Path) -> None:
    """Norms of weight zero make every number of a token the bias; its range is zero, and nothing is divided by it."""
    from dataclasses import replace

    weights = weights_of(make_bi())
    flat = replace(weights.norm, weight=np.zeros(weights.dim, np.float32), bias=np.full(weights.dim, 0.5, np.float32))
    write_portable(tmp_path / "m.onnx", quantised(replace(weights, norm=flat)))
    assert np.isfinite(run(tmp_path / "m.onnx", texts_of([4]))[0]).all()


@pytest.mark.parametrize(
    "kept", [[], ["layers.0.key"], ["layers.0.query", "layers.0.key", "layers.0.value", "layers.1.up"]]
)
def test_weights_are_read_back_as_they_were_written(make_bi: Any, tmp_path: Path, kept: list[str]) -> None:
    weights = quantised(weights_of(make_bi("mpnet")), kept, words=True)
    write_portable(tmp_path / "m.onnx", weights)
    found, head = read_exported(tmp_path / "m.onnx")
    assert head is None
    assert (found.heads, found.epsilon, found.activation) == (weights.heads, weights.epsilon, weights.activation)
    np.testing.assert_array_equal(found.words.rows(), weights.words.rows())
    np.testing.assert_array_equal(found.relative, weights.relative)
    for name in linear_names(weights):
        _, row, part = name.split(".")
        one, two = (getattr(item.layers[int(row)], part) for item in (found, weights))
        np.testing.assert_array_equal(one.weight, two.weight)
        np.testing.assert_array_equal(one.bias, two.bias)
        assert (one.scale is None) == (two.scale is None) == (name in kept)


def test_float16_halves_the_file_and_stays_near(make_bi: Any, tmp_path: Path) -> None:
    weights, texts = weights_of(make_bi()), texts_of(LENGTHS)
    write_portable(tmp_path / "half.onnx", weights, floats="float16")
    for found, exact in zip(run(tmp_path / "half.onnx", texts), expected(weights, texts), strict=True):
        np.testing.assert_allclose(found, exact, atol=0.02)
    assert read_exported(tmp_path / "half.onnx")[0].layers[0].up.weight.dtype == np.float32


def test_large_weights_lie_in_a_second_file(make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, texts = weights_of(make_bi()), texts_of(LENGTHS)
    write_portable(tmp_path / "one.onnx", weights)
    monkeypatch.setattr(named, "LARGEST_INSIDE", 1000)
    files = write_portable(tmp_path / "two.onnx", weights)
    assert [file.name for file in files] == ["two.onnx", "two.onnx_data"]
    assert set(outside_locations(memoryview(files[0].read_bytes()))) == {"two.onnx_data"}
    for found, exact in zip(run(files[0], texts), run(tmp_path / "one.onnx", texts), strict=True):
        np.testing.assert_array_equal(found, exact)
    np.testing.assert_array_equal(read_exported(files[0])[0].words.values, weights.words.values)


def test_a_second_file_that_is_cut_off_is_damage(make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "LARGEST_INSIDE", 1000)
    file, data = write_portable(tmp_path / "m.onnx", weights_of(make_bi()))
    data.write_bytes(data.read_bytes()[:5000])
    with pytest.raises(Damaged, match="ends before"):
        read_exported(file)


def test_a_second_file_outside_of_the_folder_is_refused(
    make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "LARGEST_INSIDE", 1000)
    file = write_portable(tmp_path / "mmmm.onnx", weights_of(make_bi()))[0]
    file.write_bytes(file.read_bytes().replace(b"mmmm.onnx_data", b"../m.onnx_data"))
    with pytest.raises(BadInput, match="outside"):
        read_exported(file)


def test_another_onnx_file_is_not_taken_for_one_of_ours(tmp_path: Path) -> None:
    from retr.encoders.graphs import wire

    (tmp_path / "m.onnx").write_bytes(wire.model([], [], [], []))
    with pytest.raises(Damaged, match="not what `retr export` wrote"):
        read_exported(tmp_path / "m.onnx")


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_files_satisfy_the_onnx_checker_with_plain_operators(
    make_cross: Any, tmp_path: Path, family: str, precision: str
) -> None:
    onnx = pytest.importorskip("onnx")
    folder = make_cross(family)
    weights, config = weights_of(folder), json.loads((folder / "config.json").read_text())
    head = read_head(read_safetensors([folder / "model.safetensors"]), config)
    weights = quantised(weights, words=True) if precision == "int8" else weights
    floats = "float16" if precision == "float16" else "float32"
    write_portable(tmp_path / "m.onnx", weights, head, floats=floats)
    model = onnx.load(str(tmp_path / "m.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if family == "bert" else [])]
    assert [item.name for item in model.graph.input] == inputs
    assert [item.name for item in model.graph.output] == ["logits"]


def test_the_file_itself_loads_where_there_is_no_record(make_bi: Any, tmp_path: Path) -> None:
    import shutil

    folder = make_bi(seed=3)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "onnx").mkdir()
    write_portable(copy / "onnx" / "model.onnx", weights_of(folder))
    (copy / "model.safetensors").unlink()
    texts = ["the red fish swims", "a stone"]
    one, two = (load_encoder(str(path)).encode_documents(texts) for path in (folder, copy))
    np.testing.assert_allclose(one.values, two.values, atol=1e-5)
