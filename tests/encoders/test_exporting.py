"""An export from end to end: parity, the gate, what is left when it fails, and how the folder loads."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder, load_scorer
from retr.encoders.exporting import EXPORTERS, export, portable
from retr.encoders.exporting.comparing import compare_scores, compare_vectors
from retr.encoders.exporting.making import FromWeights
from retr.encoders.exporting.settings import BOUNDS, ExportSettings
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound

FAMILIES = ["bert", "roberta", "xlm-roberta", "mpnet", "distilbert"]
PRECISIONS = ["float32", "float16", "int8"]
CLOSE = {"float32": 1e-6, "float16": 1e-4, "int8": 5e-3}
TEXTS = ["the red fish swims", "", "a", "stone falls from the blue sky in cold water", "zzz " * 40]


def settings(precision: Any = "float32", **given: Any) -> ExportSettings:
    return ExportSettings(precision=precision, torch=False, **given)


def record(folder: Path) -> Any:
    return json.loads((folder / "retr.json").read_text())["export"]


def change(folder: Path, **values: Any) -> None:
    (folder / "retr.json").write_text(json.dumps({"export": {**record(folder), **values}}))


@pytest.fixture(scope="module")
def exported(make_bi: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 export of the model of seed 1; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "out"
    export(str(make_bi(seed=1)), out, settings=settings("int8"))
    return out


@pytest.fixture
def folder_out(exported: Path, tmp_path: Path) -> Path:
    """The same, for the test to break."""
    return Path(shutil.copytree(exported, tmp_path / "out"))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_the_originals(make_bi: Any, tmp_path: Path, family: str, precision: str) -> None:
    folder = make_bi(family)
    done = export(str(folder), tmp_path / "out", settings=settings(precision))
    one, two = (load_encoder(str(path)) for path in (folder, tmp_path / "out"))
    cosines = (one.encode_documents(TEXTS).values * two.encode_documents(TEXTS).values).sum(axis=1)
    assert cosines.min() > 1 - CLOSE[precision]
    assert two.describe()["precision"] == precision == done.record.precision  # type: ignore[attr-defined]
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_the_originals(make_cross: Any, tmp_path: Path, family: str, precision: str) -> None:
    folder = make_cross(family, seed=5)
    export(f"cross={folder}", tmp_path / "out", settings=settings(precision))
    one, two = (load_scorer(f"cross={path}").score("red fish?", TEXTS) for path in (folder, tmp_path / "out"))
    np.testing.assert_allclose(one, two, atol={"float32": 1e-5, "float16": 0.02, "int8": 0.25}[precision] * one.std())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.parametrize("family", FAMILIES)
def test_sentence_transformers_loads_the_folder(make_bi: Any, tmp_path: Path, family: str) -> None:
    from sentence_transformers import SentenceTransformer

    given = {"prompts": {"query": "query: ", "document": "the "}}
    folder = make_bi(family, settings=given, dense="torch.nn.modules.activation.Tanh")
    done = export(str(folder), tmp_path / "out", settings=ExportSettings(precision="float32"))
    assert set(done.record.figures) == {"loaded", "file", "torch"}
    one, two = (SentenceTransformer(str(path), device="cpu") for path in (folder, tmp_path / "out"))
    np.testing.assert_array_equal(one.encode_query(TEXTS), two.encode_query(TEXTS))
    np.testing.assert_allclose(
        load_encoder(str(tmp_path / "out")).encode_queries(TEXTS).values, two.encode_query(TEXTS), atol=1e-5
    )
    modules = json.loads((tmp_path / "out" / "modules.json").read_text())
    assert {item["type"].rpartition(".")[0] for item in modules} == {"sentence_transformers.models"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_sentence_transformers_loads_the_cross_encoder(make_cross: Any, tmp_path: Path, family: str) -> None:
    from sentence_transformers import CrossEncoder

    folder = make_cross(family)
    done = export(f"cross={folder}", tmp_path / "out", settings=ExportSettings(precision="float32"))
    assert done.record.figures["torch"]["max_difference"] < 2e-5
    pairs = [("red fish", text) for text in TEXTS]
    one, two = (CrossEncoder(str(path), device="cpu").predict(pairs) for path in (folder, tmp_path / "out"))
    np.testing.assert_array_equal(one, two)


def test_every_kind_that_can_be_exported_is_one_that_loads() -> None:
    from retr.encoders import ENCODERS, SCORERS

    assert EXPORTERS.keys() <= ENCODERS.keys() | SCORERS.keys()


@pytest.mark.parametrize("pooling", ["cls_token", "max_tokens", "weightedmean_tokens"])
def test_poolings_dense_layers_and_similarity_go_along(make_bi: Any, tmp_path: Path, pooling: str) -> None:
    folder = make_bi(
        pooling={f"pooling_mode_{pooling}": True, "include_prompt": False},
        settings={"similarity_fn_name": "dot", "prompts": {"query": "query: "}},
        dense="torch.nn.modules.linear.Identity",
        normalise=False,
    )
    export(str(folder), tmp_path / "out", settings=settings())
    one, two = (load_encoder(str(path)) for path in (folder, tmp_path / "out"))
    np.testing.assert_allclose(one.encode_queries(TEXTS).values, two.encode_queries(TEXTS).values, atol=1e-5)
    assert two.similarity == "dot"


def test_the_dims_that_a_model_was_trained_to_be_cut_to_go_along(make_bi: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(make_bi(seed=1), tmp_path / "trained"))
    told = {"bi": {"kind": "bi", "matryoshka": [16, 8]}, "training": {"steps": 3}}
    (folder / "retr.json").write_text(json.dumps(told))
    export(str(folder), tmp_path / "out", settings=settings())
    found = json.loads((tmp_path / "out" / "retr.json").read_text())
    assert found["bi"] == told["bi"]
    assert found.keys() == {"bi", "export"}


def test_a_folder_without_weights_is_small_and_loads(make_bi: Any, tmp_path: Path, exported: Path) -> None:
    export(str(make_bi(seed=1)), tmp_path / "out", settings=settings("int8", weights=False))
    assert not list((tmp_path / "out").glob("*.safetensors"))
    one, two = (load_encoder(str(path)).encode_documents(TEXTS).values for path in (exported, tmp_path / "out"))
    np.testing.assert_array_equal(one, two)


def test_an_exported_folder_needs_no_torch(exported: Path) -> None:
    code = f"""if True:
        import sys
        from retr.encoders import load_encoder
        load_encoder({str(exported)!r}).encode_queries(["a"])
        print([name for name in ("torch", "transformers", "onnx") if name in sys.modules])"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_the_record_says_what_was_done(exported: Path, make_bi: Any) -> None:
    found = record(exported)
    assert (found["kind"], found["precision"], found["network"]) == ("bi", "int8", "onnx/model_int8.onnx")
    assert found["batch_independent"] is True
    assert found["source"]["fingerprint"] == load_encoder(str(make_bi(seed=1))).fingerprint
    assert found["figures"]["file"]["worst_cosine"] >= found["bounds"]["worst_cosine"]
    assert {"count", "sha256", "source"} <= found["texts"].keys()
    assert str(exported.parent) not in (exported / "retr.json").read_text()


def test_the_harmful_matrix_is_the_one_that_is_kept(
    make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One column's largest number a thousand times the others: eight bits leave nothing of the rest."""
    from retr.encoders.exporting import making

    def spoiled(tensors: Any, config: Any) -> Any:
        weights = read(tensors, config)
        up = weights.layers[1].up
        outlier = up.weight.copy()
        outlier[3] = 40 * np.sign(outlier[3])
        layer = replace(weights.layers[1], up=replace(up, weight=outlier))
        return replace(weights, layers=(weights.layers[0], layer))

    read = making.read_transformer
    monkeypatch.setattr(making, "read_transformer", spoiled)
    monkeypatch.setattr("retr.encoders.running.opening.read_transformer", spoiled)
    done = export(str(make_bi()), tmp_path / "out", settings=settings("int8", worst_cosine=0.9999, mean_cosine=0.9999))
    assert "layers.1.up" in done.record.kept
    assert len(done.record.kept) < 9


def tampered(self: FromWeights, path: Path, precision: Any, kept: Any = ()) -> list[Path]:
    """A network with one bias moved."""
    layer = self.weights.layers[1]
    moved = replace(layer.down, bias=layer.down.bias + np.linspace(-1, 1, len(layer.down.bias), dtype=np.float32))
    weights = replace(self.weights, layers=(self.weights.layers[0], replace(layer, down=moved)))
    return portable.write_portable(path, weights, self.head)


@pytest.mark.parametrize("kind", ["bi", "cross"])
def test_the_gate_refuses_another_network(
    make_bi: Any, make_cross: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = (make_bi if kind == "bi" else make_cross)()
    monkeypatch.setattr(FromWeights, "write", tampered)
    with pytest.raises(Mismatch, match="not near enough") as caught:
        export(f"{kind}={folder}", tmp_path / "out", settings=settings())
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_gate_refuses_a_network_that_looks_at_padding(
    make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "MASKED", 0.0)
    with pytest.raises(Mismatch, match=r"file: .*batch_error"):
        export(str(make_bi()), tmp_path / "out", settings=settings())
    assert list(tmp_path.iterdir()) == []


def test_a_bound_that_cannot_be_met_is_told_with_the_figure(make_bi: Any, tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match=r"mean_cosine is 0\.99\d+, under 1"):
        export(str(make_bi()), tmp_path / "out", settings=settings("float16", mean_cosine=1.0))


@pytest.mark.parametrize("name", ["mean_cosine", "overlap"])
def test_figures_that_are_not_numbers_are_out_of_bounds(name: str) -> None:
    assert BOUNDS["int8"].broken({name: float("nan")}) != []


def test_a_killed_export_leaves_nothing_at_out_and_the_next_one_cleans_up(make_bi: Any, tmp_path: Path) -> None:
    folder, out = make_bi(), tmp_path / "out"
    code = f"""if True:
        import os, signal
        from retr.encoders.exporting import export
        import retr.encoders.exporting.process as steps
        steps.check = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
        export({str(folder)!r}, {str(out)!r}, settings=steps.ExportSettings(torch=False))"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 1
    export(str(folder), out, settings=settings())
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_a_model_in_out_is_replaced_by_force_alone(folder_out: Path, make_bi: Any) -> None:
    with pytest.raises(BadInput, match="--force"):
        export(str(make_bi()), folder_out, settings=settings())
    assert record(folder_out)["precision"] == "int8"
    export(str(make_bi()), folder_out, settings=settings(force=True))
    assert record(folder_out)["precision"] == "float32"
    assert [item.name for item in folder_out.parent.iterdir()] == ["out"]


def test_what_is_no_model_is_not_replaced_even_by_force(make_bi: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="not even by force"):
        export(str(make_bi()), tmp_path / "out", settings=settings(force=True))
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_the_original_is_never_written_over(folder: Path) -> None:
    for out in (folder, folder / "inside", folder.parent):
        with pytest.raises(BadInput, match="lie in each other"):
            export(str(folder), out, settings=settings(force=True))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"precision": "int4"}, "precision"),
        ({"network": "../model.onnx"}, "sha256 of its network"),
        ({"files": {"../x": "0"}, "network": "../x"}, "outside"),
        ({"files": {"onnx/model_int8.onnx": "0" * 64}}, "was exported and measured"),
        ({"files": 7}, "table"),
        ({"kept": "all"}, "kept"),
        ({"format": 99}, "newer retr"),
        ({"format": "1"}, "format"),
        ({"more": 1}, "more"),
        ({"kind": "cross"}, "cross"),
    ],
)
def test_an_edited_record_is_one_clear_line(folder_out: Path, values: dict[str, Any], says: str) -> None:
    change(folder_out, **values)
    with pytest.raises((Damaged, BadInput), match=says) as caught:
        load_encoder(str(folder_out))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"export": []}', '{"export": {}}', '{"export": {"format": 1}}'])
def test_a_broken_record_is_one_clear_line(folder_out: Path, content: str) -> None:
    (folder_out / "retr.json").write_text(content)
    with pytest.raises(Damaged) as caught:
        load_encoder(str(folder_out))
    assert "\n" not in str(caught.value)
    assert "retr.json" in str(caught.value)


def test_a_record_of_something_else_is_no_export(folder_out: Path) -> None:
    (folder_out / "retr.json").write_text('{"training": {}}')
    assert load_encoder(str(folder_out)).describe()["precision"] == "float32"  # type: ignore[attr-defined]


def test_weights_that_were_trained_on_are_not_run_as_the_old_network(folder_out: Path, make_bi: Any) -> None:
    shutil.copyfile(make_bi(seed=2) / "model.safetensors", folder_out / "model.safetensors")
    with pytest.raises(Damaged, match=r"model\.safetensors"):
        load_encoder(str(folder_out))


def test_a_missing_network_is_told(folder_out: Path) -> None:
    (folder_out / "onnx" / "model_int8.onnx").unlink()
    with pytest.raises(NotFound, match="model_int8"):
        load_encoder(str(folder_out))


def test_the_users_own_texts_are_compared(make_bi: Any, tmp_path: Path) -> None:
    lines = [json.dumps({"id": str(number), "text": f"the red fish {number} swims"}) for number in range(20)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    done = export(str(make_bi()), tmp_path / "out", settings=settings(), texts=tmp_path / "t.jsonl")
    assert (done.record.texts["count"], done.record.texts["source"]) == (20, "t.jsonl")
    (tmp_path / "few.jsonl").write_text(lines[0])
    with pytest.raises(BadInput, match="at least 12"):
        export(str(make_bi()), tmp_path / "other", settings=settings(), texts=tmp_path / "few.jsonl")


def test_figures_by_hand() -> None:
    exact = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    found = np.array([[1, 0], [0, 2], [0.8, 0.6]], np.float32)
    figures = compare_vectors(found, exact)
    assert figures["mean_cosine"] == pytest.approx((1 + 1 + 0.96) / 3)
    assert figures["worst_cosine"] == pytest.approx(0.96)
    assert figures["max_difference"] == 1
    scores = np.array([1, 2, 3, 4], np.float32)
    assert compare_scores(scores[::-1], scores)["rank_correlation"] == pytest.approx(-1)
    swapped = compare_scores(np.array([2, 1, 3, 4], np.float32), scores)
    assert swapped["rank_correlation"] == pytest.approx(1 - 6 * 2 / (4 * 15))  # 1 - 6 Σd² / n(n² - 1)
    assert swapped["score_error"] == pytest.approx(1 / scores.std())


def test_an_export_on_the_hub_is_fetched_with_its_network(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = pytest.importorskip("huggingface_hub")
    asked: list[list[str]] = []

    def fetch(name: str, *, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(without if len(asked) == 1 else exported)

    without = exported.parent / "without"
    shutil.copytree(exported, without, ignore=shutil.ignore_patterns("onnx"))
    monkeypatch.setattr(client, "snapshot_download", fetch)
    assert load_encoder("someone/some-model").describe()["precision"] == "int8"  # type: ignore[attr-defined]
    assert "onnx/model_int8.onnx*" not in asked[0]
    assert "onnx/model_int8.onnx*" in asked[1]
