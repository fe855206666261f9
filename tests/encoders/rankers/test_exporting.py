"""Exports of Uni- and Poly-Encoders: near the original, refused where they are not, and served without torch."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_scorer
from retr.encoders.exporting import export, portable
from retr.encoders.exporting.making import FromWeights
from retr.encoders.exporting.settings import ExportSettings
from retr.encoders.rankers import layout
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound

QUERY, TEXTS = "the red fish swims", ["a stone falls", "", "red", "cold water in the sea", "a stone falls"]
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "one_way": ("uni", {}),
    "arrow": ("uni", {"mask": "arrow"}),
    "unique": ("uni", {"mask": "arrow", "positions": "unique", "context_tokens": 12, "candidate_tokens": 9}),
    "poly": ("poly", {}),
    "shared": ("poly", {"shared": True, "context": "first", "candidate": "cls"}),
}
LOOSE = {"overlap": 0.0, "rank_correlation": 0.9}
MakeRanker = Callable[..., Path]


def settings(precision: Any = "float32", **given: Any) -> ExportSettings:
    return ExportSettings(precision=precision, torch=False, **given)


def record(folder: Path) -> Any:
    return json.loads((folder / "retr.json").read_text())["export"]


@pytest.fixture(scope="module")
def exported(make_ranker: MakeRanker, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`exported(name of KINDS)` to a float32 export of it, not to be changed."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("exported") / "out"
            kind, given = KINDS[name]
            export(str(make_ranker(kind, **given)), made[name], settings=settings())
        return made[name]

    return make


@pytest.mark.parametrize("name", KINDS)
def test_an_export_scores_as_its_original(exported: Any, make_ranker: MakeRanker, name: str, way: str) -> None:
    kind, given = KINDS[name]
    one, two = (load_scorer(str(path)) for path in (make_ranker(kind, **given), exported(name)))
    texts = TEXTS[:3] if name == "unique" else TEXTS
    np.testing.assert_allclose(two.score(QUERY, texts), one.score(QUERY, texts), atol=1e-5)
    assert one.comparable is two.comparable
    assert one.fingerprint != two.fingerprint
    told = two.describe()  # type: ignore[attr-defined]
    assert told["precision"] == "float32"
    assert told[kind]["kind"] == kind


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("name", ["one_way", "arrow", "poly"])
def test_lower_precisions_are_near(
    make_ranker: MakeRanker, tmp_path: Path, name: str, family: str, precision: str
) -> None:
    kind, given = KINDS[name]
    folder = make_ranker(kind, family, **given)
    done = export(f"{kind}={folder}", tmp_path / "out", settings=settings(precision, **LOOSE))
    assert (done.record.kind, done.record.precision, done.record.built) == (kind, precision, "retr")
    one, two = (load_scorer(str(path)).score(QUERY, TEXTS) for path in (folder, tmp_path / "out"))
    np.testing.assert_allclose(one, two, atol={"float16": 0.05, "int8": 0.5}[precision] * max(1, one.std()))
    assert load_scorer(str(tmp_path / "out")).describe()["precision"] == precision  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["one_way", "poly"])
def test_in_int8_a_score_does_not_depend_on_the_others(
    make_ranker: MakeRanker, tmp_path: Path, name: str, way: str
) -> None:
    kind, given = KINDS[name]
    export(str(make_ranker(kind, **given)), tmp_path / "out", settings=settings("int8", **LOOSE))
    whole = load_scorer(str(tmp_path / "out")).score(QUERY, TEXTS)
    scorer = load_scorer(str(tmp_path / "out"))
    alone = np.concatenate([scorer.score(QUERY, [text]) for text in TEXTS])
    np.testing.assert_allclose(alone, whole, atol=1e-4)


@pytest.mark.skipif(not all(map(find_spec, ("torch", "transformers"))), reason="torch and transformers are needed")
@pytest.mark.parametrize("name", ["one_way", "arrow", "poly", "shared"])
def test_torch_opens_the_folder_and_agrees(make_ranker: MakeRanker, tmp_path: Path, name: str) -> None:
    kind, given = KINDS[name]
    done = export(str(make_ranker(kind, **given)), tmp_path / "out", settings=ExportSettings())
    assert set(done.record.figures) == {"loaded", "file", "torch"}
    assert done.record.figures["torch"]["max_difference"] < 1e-4 * 30
    assert done.record.figures["torch"]["score_error"] < 1e-4
    scorer = load_scorer(str(tmp_path / "out"), device="cpu+float32")
    by_torch = _by_torch(kind, tmp_path / "out")
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), by_torch, atol=1e-4, rtol=1e-5)


def _by_torch(kind: str, folder: Path) -> Any:
    import torch

    from retr.encoders.trainable.poly import open_poly
    from retr.encoders.trainable.uni import open_uni

    student: Any = {"uni": open_uni, "poly": open_poly}[kind](folder)
    student.module.eval()
    with torch.no_grad():
        return student.score([QUERY], [TEXTS])[0].numpy()


def test_the_file_is_plain_and_says_what_it_reads(exported: Any) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported("arrow") / "onnx" / "model.onnx"))
    shapes = {item.name: item.shape for item in session.get_inputs()}
    assert set(shapes) == {"input_ids", "position_ids", "token_type_ids", "attention_bias"}
    assert shapes["attention_bias"] == ["texts", 1, "tokens", "tokens"]
    assert [item.name for item in session.get_outputs()] == ["last_hidden_state"]


def test_the_record_and_the_files(exported: Any, make_ranker: MakeRanker) -> None:
    found = record(exported("poly"))
    assert found["network"] == "context/onnx/model.onnx"
    assert {"context/onnx/model.onnx", "candidate/onnx/model.onnx", "poly.safetensors"} <= set(found["files"])
    assert found["figures"]["file"]["batch_error"] <= found["bounds"]["batch_error"]
    assert found["batch_independent"] is True
    assert not (exported("shared") / "candidate").exists()
    assert "library_name: retr" in (exported("poly") / "README.md").read_text()


@pytest.mark.parametrize("name", ["one_way", "poly"])
def test_a_folder_without_float_weights_is_served(make_ranker: MakeRanker, tmp_path: Path, name: str) -> None:
    kind, given = KINDS[name]
    folder = make_ranker(kind, **given)
    export(str(folder), tmp_path / "out", settings=settings(weights=False))
    assert {path.name for path in (tmp_path / "out").rglob("*.safetensors")} == {f"{kind}.safetensors"}
    one, two = (load_scorer(str(path)).score(QUERY, TEXTS) for path in (folder, tmp_path / "out"))
    np.testing.assert_allclose(one, two, atol=1e-5)


def tampered(self: FromWeights, path: Path, precision: Any, kept: Any = ()) -> list[Path]:
    """A network whose positions are those of another."""
    from dataclasses import replace

    weights = replace(self.weights, positions=np.ascontiguousarray(self.weights.positions[::-1]))
    return portable.write_portable(path, weights, rows=self.rows)


@pytest.mark.parametrize("name", ["one_way", "arrow", "poly"])
def test_the_gate_refuses_another_network(
    make_ranker: MakeRanker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind, given = KINDS[name]
    monkeypatch.setattr(FromWeights, "write", tampered)
    with pytest.raises(Mismatch, match="not near enough") as caught:
        export(str(make_ranker(kind, **given)), tmp_path / "out", settings=settings())
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_gate_refuses_a_network_that_does_not_keep_to_its_mask(
    make_ranker: MakeRanker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "MASKED", 0.0)
    with pytest.raises(Mismatch, match=r"file: .*batch_error"):
        export(str(make_ranker("uni", mask="arrow")), tmp_path / "out", settings=settings())


@pytest.mark.parametrize("name", ["one_way", "poly"])
def test_what_was_changed_after_the_export_is_told(exported: Any, tmp_path: Path, name: str) -> None:
    kind, _ = KINDS[name]
    folder = Path(shutil.copytree(exported(name), tmp_path / "out"))
    parts = folder / f"{kind}.safetensors"
    data = bytearray(parts.read_bytes())
    data[-1] ^= 1
    parts.write_bytes(data)
    with pytest.raises(Damaged, match="was exported and measured"):
        load_scorer(str(folder))
    shutil.copyfile(exported(name) / parts.name, parts)
    (folder / record(folder)["network"]).unlink()
    with pytest.raises(NotFound, match=r"model\.onnx"):
        load_scorer(str(folder))


def test_what_cannot_be_exported_is_told(make_ranker: MakeRanker, exported: Any, make_bi: Any, tmp_path: Path) -> None:
    for source, says in (
        (f"uni={make_bi()}", "no uni scorer"),
        (f"poly={make_ranker('uni')}", "no poly scorer"),
        (f"uni={exported('one_way')}", "is an export itself"),
        (f"uni={make_ranker('uni', 'mpnet')}", "of the type 'mpnet'"),
    ):
        with pytest.raises(BadInput, match=says) as caught:
            export(source, tmp_path / "out", settings=settings())
        assert "\n" not in str(caught.value)


BLOCKED = """if True:
    import sys
    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("torch", "transformers"):
                raise ModuleNotFoundError(name)
    sys.meta_path.insert(0, Blocked())
    from retr.cli import run
    sys.argv = ["retr", *sys.argv[1:]]
    run()"""


@pytest.mark.parametrize("name", ["one_way", "arrow", "poly"])
def test_search_reranks_where_torch_cannot_be_imported(exported: Any, tmp_path: Path, name: str) -> None:
    kind, _ = KINDS[name]
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(filter(None, TEXTS))]
    (tmp_path / "docs.jsonl").write_text("\n".join(lines))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RETR_THREADS": "1"}
    command = [sys.executable, "-c", BLOCKED]
    index = [*command, "index", "docs.jsonl", "--encoder", "none", "--quiet"]
    search = [*command, "search", "red stone water", "--mode", "lexical", "--json", "--quiet", "--full"]
    search += ["--rerank", f"{kind}={exported(name)}"]
    for given in (index, search):
        done = subprocess.run(given, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
    hits = json.loads(done.stdout)["hits"]
    expected = load_scorer(str(exported(name))).score("red stone water", [hit["text"] for hit in hits])
    assert len(hits) > 1
    np.testing.assert_allclose([hit["score"] for hit in hits], expected, atol=1e-4)
