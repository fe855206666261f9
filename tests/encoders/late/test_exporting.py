"""Exports of late models: near the original, in one layout whatever theirs was, refused where they are not near."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders.exporting import export
from retr.encoders.exporting.settings import ExportSettings
from retr.encoders.late.encoder import LateEncoder, load
from retr.encoders.late.scorer import LateScorer
from retr.retrieval.errors import Damaged, Mismatch

MakeLate = Callable[..., Path]
QUERY, TEXTS = "the red fish swims", ["a stone falls", "", "red", "cold water, in the sea", "a stone falls"]
HIDDEN = {"told": {"query_expansion": {"strategy": "fixed", "attend": False, "length": 12}}}
PREFIXES = {"query_prefix": "[unused0] ", "document_prefix": "[unused1] ", "query_length": 10}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("sentence-transformers", {"top": {"similarity_fn_name": "meanmaxsim"}}),
    "hidden": ("sentence-transformers", HIDDEN),
    "pylate": ("pylate", {"top": PREFIXES}),
    "stanford": ("stanford", {}),
    "mpnet": ("sentence-transformers", {"family": "mpnet"}),
}
LOOSE = {"overlap": 0.0, "rank_correlation": 0.9}


def settings(precision: Any = "float32", **given: Any) -> ExportSettings:
    return ExportSettings(precision=precision, torch=False, **given)


@pytest.mark.parametrize("name", MODELS)
def test_an_export_gives_its_originals_vectors(make_late: MakeLate, tmp_path: Path, name: str) -> None:
    layout, given = MODELS[name]
    source = make_late(layout, **given)
    done = export(f"late={source}", tmp_path / "out", settings=settings())
    assert (done.record.kind, done.record.built) == ("late", "retr")
    one, two = load(str(source)), load(str(tmp_path / "out"))
    for encode in ("encode_queries", "encode_documents"):
        before, after = getattr(one, encode)(TEXTS), getattr(two, encode)(TEXTS)
        assert before.offsets.tolist() == after.offsets.tolist()
        np.testing.assert_allclose(before.values, after.values, atol=1e-5)
    assert one.fingerprint != two.fingerprint
    assert one.mean == two.mean


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("name", ["hidden", "stanford"])
def test_lower_precisions_are_near(make_late: MakeLate, tmp_path: Path, name: str, precision: str, way: str) -> None:
    layout, given = MODELS[name]
    source = make_late(layout, **given)
    export(f"late={source}", tmp_path / "out", settings=settings(precision, **LOOSE))
    one, two = load(str(source)), load(str(tmp_path / "out"))
    assert two.describe()["precision"] == precision
    scores = [LateScorer(encoder).score(QUERY, TEXTS) for encoder in (one, two)]
    np.testing.assert_allclose(*scores, atol={"float16": 0.02, "int8": 0.6}[precision])
    cosines = (one.encode_queries(TEXTS).values * two.encode_queries(TEXTS).values).sum(axis=1)
    assert cosines.mean() > {"float16": 0.9999, "int8": 0.98}[precision]
    alone = [float(LateScorer(two).score(QUERY, [text])[0]) for text in TEXTS]
    np.testing.assert_allclose(alone, scores[1], atol=1e-4)


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["plain", "hidden", "stanford"])
def test_sentence_transformers_agrees_and_opens_the_folder(make_late: MakeLate, tmp_path: Path, name: str) -> None:
    from sentence_transformers import MultiVectorEncoder

    layout, given = MODELS[name]
    done = export(str(make_late(layout, **given)), tmp_path / "out", settings=ExportSettings())
    assert done.record.figures["torch"]["score_error"] < 1e-3
    model = MultiVectorEncoder(str(tmp_path / "out"), device="cpu", local_files_only=True)
    found = load(str(tmp_path / "out")).encode_queries(TEXTS)
    for mine, theirs in zip(found, model.encode_query(TEXTS), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_what_is_not_near_is_not_written_and_what_was_changed_is_not_read(make_late: MakeLate, tmp_path: Path) -> None:
    source = str(make_late())
    with pytest.raises(Mismatch, match="Nothing was written"):
        export(source, tmp_path / "no", settings=settings("float16", rank_correlation=1.0))
    assert not (tmp_path / "no").exists()
    export(source, tmp_path / "out", settings=settings(weights=False))
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert isinstance(load(str(tmp_path / "out")), LateEncoder)
    told = json.loads((tmp_path / "out" / "retr.json").read_text())
    told["export"]["files"]["onnx/model.onnx"] = "0" * 64
    (tmp_path / "out" / "retr.json").write_text(json.dumps(told))
    with pytest.raises(Damaged, match="exported and measured"):
        load(str(tmp_path / "out"))
