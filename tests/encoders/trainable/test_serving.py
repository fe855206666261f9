"""Scorers of kind uni and poly, as they are served: what they say of themselves, and what a bad folder is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders import load_scorer  # noqa: E402
from retr.encoders.rankers.kept import Kept  # noqa: E402
from retr.encoders.trainable.poly import PolySettings, open_poly  # noqa: E402
from retr.encoders.trainable.uni import UniSettings, open_uni  # noqa: E402
from retr.retrieval.errors import BadInput, NotFound  # noqa: E402

QUERY, TEXTS = "the red fish", ["a stone", "cold water", "", "a stone", "the sky"]
MakeFolder = Callable[..., Path]


@pytest.fixture
def saved(make_folder: MakeFolder, tmp_path: Path) -> Callable[[str], tuple[Path, Any]]:
    """`saved(kind, family)` to the folder of a student, and the scores that it gave."""

    def make(kind: str, family: str = "bert") -> tuple[Path, Any]:
        folder = make_folder(family)
        if kind == "poly":
            student: Any = open_poly(folder, PolySettings(4, context_tokens=40, candidate_tokens=24))
        else:
            student = open_uni(folder, UniSettings(kind, "shared", 40, 24))  # type: ignore[arg-type]
        student.save(tmp_path / kind)
        student.module.eval()
        with torch.no_grad():
            return tmp_path / kind, student.score([QUERY], [TEXTS])[0].numpy()

    return make


@pytest.mark.parametrize(("kind", "comparable"), [("arrow", False), ("one_way", True), ("poly", True)])
def test_a_folder_tells_its_kind_and_scores_as_the_student_did(saved: Any, kind: str, comparable: bool) -> None:
    folder, expected = saved(kind)
    scorer = load_scorer(str(folder))
    assert scorer.comparable is comparable
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), expected, atol=1e-4)
    np.testing.assert_array_equal(scorer.score(QUERY, TEXTS), scorer.score(QUERY, TEXTS))
    assert load_scorer(str(folder)).fingerprint == scorer.fingerprint


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "modernbert"])
@pytest.mark.parametrize("kind", ["arrow", "one_way", "poly"])
def test_berts_family_is_served_without_torch_and_others_by_it(saved: Any, kind: str, family: str) -> None:
    folder, expected = saved(kind, family)
    scorer: Any = load_scorer(str(folder))
    assert scorer.describe()["runtime"].startswith("torch") is (family in ("electra", "modernbert"))
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_poly_encoder_of_another_family_is_exported_by_torch(saved: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from retr.encoders.exporting import export
    from retr.encoders.exporting.settings import ExportSettings

    folder, expected = saved("poly", "electra")
    done = export(str(folder), tmp_path / "out", settings=ExportSettings())
    assert done.record.built == "torch"
    scorer: Any = load_scorer(str(tmp_path / "out"))
    assert scorer.describe()["runtime"] == "onnxruntime"
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), expected, atol=1e-3)


def test_a_uni_encoder_of_another_family_is_not_exported(saved: Any, tmp_path: Path) -> None:
    from retr.encoders.exporting import export

    with pytest.raises(BadInput, match=r"of the type 'electra'.*by torch"):
        export(str(saved("one_way", "electra")[0]), tmp_path / "out")


def test_the_mask_is_part_of_the_fingerprint(saved: Any) -> None:
    folder, _ = saved("arrow")
    before = load_scorer(str(folder)).fingerprint
    told = json.loads((folder / "retr.json").read_text())
    told["uni"]["mask"] = "one_way"
    (folder / "retr.json").write_text(json.dumps(told))
    assert load_scorer(str(folder)).fingerprint != before


@pytest.mark.parametrize("kind", ["uni", "poly"])
def test_a_folder_that_training_did_not_write_is_refused(kind: str, make_folder: MakeFolder) -> None:
    with pytest.raises(BadInput, match=f"no table '{kind}'"):
        load_scorer(f"{kind}={make_folder('bert')}")
    with pytest.raises(NotFound, match="No folder 'nowhere'"):
        load_scorer(f"{kind}=nowhere")


def test_the_oldest_vectors_go_first() -> None:
    kept = Kept(2)
    one, two, three = torch.ones(1), torch.zeros(1), torch.ones(2)
    kept.keep({"a": one, "b": two})
    assert kept.found(["a", "x"]) == {"a": one}
    kept.keep({"c": three})
    assert set(kept.found(["a", "b", "c"])) == {"a", "c"}
    assert len(kept) == 2
