"""What a Poly-Encoder promises where it is served without torch: in the kernels, and by ONNX Runtime."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_scorer
from retr.encoders.rankers.poly import score_vectors
from retr.encoders.reading.safetensors_file import floats, read_safetensors
from retr.retrieval.errors import BadInput, Damaged, NotFound

QUERY = "the red fish swims\nin cold water"
TEXTS = ["a stone falls", "from the blue sky", "", "red", "cold water in the sea"]
MakeRanker = Callable[..., Path]


@pytest.fixture
def opened(make_ranker: MakeRanker, way: str) -> Callable[..., Any]:
    """`opened(family, codes=…)` to a scorer."""

    def make(family: str = "bert", **settings: Any) -> Any:
        scorer: Any = load_scorer(str(make_ranker("poly", family, **settings)))
        assert scorer.describe()["runtime"].startswith("onnxruntime" if way == "off" else "retr's kernels")
        return scorer

    return make


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "distilbert"])
@pytest.mark.parametrize("settings", [{}, {"context": "first", "codes": 30}, {"shared": True}, {"candidate": "cls"}])
def test_scores_are_torchs(opened: Any, make_ranker: MakeRanker, family: str, settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from retr.encoders.trainable.poly import open_poly

    student = open_poly(make_ranker("poly", family, **settings))
    student.module.eval()
    for query in (QUERY, "red"):
        with torch.no_grad():
            expected = student.score([query], [TEXTS])[0].numpy()
        np.testing.assert_allclose(opened(family, **settings).score(query, TEXTS), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("context", ["learned", "first"])
def test_a_score_depends_on_nothing_but_its_pair(opened: Any, context: str) -> None:
    scorer = opened(context=context)
    together = scorer.score(QUERY, TEXTS)
    assert scorer.comparable
    assert np.ptp(together) > 0.1
    fresh = opened(context=context)
    alone = np.concatenate([fresh.score(QUERY, [text]) for text in reversed(TEXTS)])[::-1]
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_candidates_that_were_kept_score_as_those_read_now(opened: Any) -> None:
    scorer = opened()
    first = scorer.score(QUERY, TEXTS)
    assert len(scorer.answer.kept) == 1 + len(TEXTS)  # the one is what loading tried
    np.testing.assert_array_equal(scorer.score(QUERY, [*TEXTS, "a stone falls"])[: len(TEXTS)], first)
    vectors = scorer.answer.read_candidates(TEXTS)
    np.testing.assert_allclose(score_vectors(scorer.answer.read_context(QUERY), vectors), first, atol=1e-5)


def test_one_code_is_softmax_pooling_whatever_the_candidate(opened: Any) -> None:
    ranker = opened(codes=1).answer
    ids = np.array([ranker.cutting.context(QUERY)])
    states = ranker.contexts(ids, np.zeros_like(ids))[0].astype(np.float64)
    shares = np.exp(states @ ranker.codes[0])
    expected = ranker.read_candidates(TEXTS) @ (shares / shares.sum() @ states)
    np.testing.assert_allclose(ranker(QUERY, TEXTS), expected, rtol=1e-4, atol=1e-4)


def test_equal_codes_collapse_to_one(make_ranker: MakeRanker, write_tensors: Any, way: str) -> None:
    one, many = make_ranker("poly", codes=1), make_ranker("poly", codes=5)
    code = floats(read_safetensors([one / "poly.safetensors"])["codes"])
    write_tensors(many / "poly.safetensors", {"codes": np.repeat(code, 5, axis=0)})
    found, expected = (load_scorer(str(folder)).score(QUERY, TEXTS) for folder in (many, one))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_first_states_beyond_a_short_context_are_not_there(opened: Any) -> None:
    few, many = (opened(context="first", codes=codes) for codes in (3, 30))
    np.testing.assert_allclose(many.score("red", TEXTS), few.score("red", TEXTS), atol=1e-4)


def test_scores_worked_by_hand() -> None:
    context = np.array([[np.log(3.0), 0.0], [0.0, 0.0]], np.float32)
    assert float(score_vectors(context, np.array([[1.0, 5.0]], np.float32))[0]) == pytest.approx(0.75 * np.log(3.0))


def test_an_over_long_context_keeps_its_newest_lines(opened: Any) -> None:
    scorer, long = opened(), " ".join(["red"] * 60)
    found = scorer.score(f"{long}\nblue fish\na stone", TEXTS)
    np.testing.assert_array_equal(found, scorer.score("blue fish\na stone", TEXTS))
    assert np.isfinite(scorer.score(f"{long} sky", TEXTS)).all()


def test_what_does_not_fit_is_told_in_one_line(make_ranker: MakeRanker, write_tensors: Any) -> None:
    folder = make_ranker("poly")
    with pytest.raises(BadInput, match="reads 98"):
        load_scorer(str(make_ranker("poly", context_tokens=99)))
    write_tensors(folder / "poly.safetensors", {"codes": np.zeros((4, 8))})
    with pytest.raises(Damaged, match="does not fit"):
        load_scorer(str(folder))
    (folder / "poly.safetensors").unlink()
    with pytest.raises(NotFound, match=r"poly\.safetensors is missing"):
        load_scorer(str(folder))
    (folder / "retr.json").write_text(json.dumps({"poly": {"kind": "poly", "codes": 0}}))
    with pytest.raises(BadInput, match="at least 1"):
        load_scorer(str(folder))
