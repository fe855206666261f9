"""What a Uni-Encoder promises where it is served without torch: in the kernels, and by ONNX Runtime."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_scorer
from retr.encoders.rankers.networks import NativeRows, OnnxRows
from retr.encoders.rankers.opening import read_weights
from retr.encoders.running.transformer import open_transformer
from retr.retrieval.errors import BadInput, Damaged, NotFound

EQUAL, EFFECT = 1e-4, 1e-1
QUERY = "the red fish swims\nin cold water"
TEXTS = ["a stone falls", "from the blue sky", "", "red", "cold water in the sea", "fish, fish", "no. 7"]
MASKS = ("arrow", "one_way")
FAMILIES = ("bert", "roberta", "xlm-roberta", "distilbert")
MakeRanker = Callable[..., Path]


@pytest.fixture
def opened(make_ranker: MakeRanker, way: str) -> Callable[..., Any]:
    """`opened(mask, family)` to a scorer."""

    def make(mask: str, family: str = "bert", **settings: Any) -> Any:
        scorer: Any = load_scorer(str(make_ranker("uni", family, mask=mask, **settings)))
        assert isinstance(scorer.answer.network, OnnxRows if way == "off" else NativeRows)
        return scorer

    return make


def scores(scorer: Any, texts: list[str], query: str = QUERY) -> Any:
    return scorer.score(query, texts)


@pytest.mark.parametrize("mask", MASKS)
def test_permuting_candidates_permutes_their_scores(opened: Any, mask: str) -> None:
    scorer, order = opened(mask), [4, 0, 6, 2, 5, 1, 3]
    permuted = scores(scorer, [TEXTS[row] for row in order])
    np.testing.assert_allclose(permuted, scores(scorer, TEXTS)[order], atol=EQUAL)


def test_with_unique_positions_the_order_matters(opened: Any) -> None:
    scorer = opened("one_way", positions="unique")
    assert not scorer.comparable
    assert np.abs(scores(scorer, TEXTS[:3][::-1])[::-1] - scores(scorer, TEXTS[:3])).max() > EFFECT


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [1, 2, 17])
def test_one_way_scores_do_not_depend_on_the_others(opened: Any, family: str, count: int) -> None:
    scorer = opened("one_way", family)
    texts = (TEXTS + [f"{text} in the sea" for text in TEXTS] + ["blue", "a red stone", "sky"])[:count]
    whole = scores(scorer, texts)
    for chunk in (1, 2, 3, 5):
        parts = [scores(scorer, texts[start : start + chunk]) for start in range(0, count, chunk)]
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=EQUAL)
    assert scorer.comparable
    assert count == 1 or np.ptp(whole) > EFFECT


def test_arrow_scores_do_depend_on_the_others(opened: Any) -> None:
    scorer = opened("arrow")
    alone = np.concatenate([scores(scorer, [text]) for text in TEXTS])
    assert np.abs(alone - scores(scorer, TEXTS)).max() > EFFECT
    assert not scorer.comparable


def test_a_context_that_was_kept_scores_as_the_whole_row(opened: Any) -> None:
    scorer = opened("one_way")
    ranker = scorer.answer
    candidates = [np.array(ids) for ids in ranker.cutting.candidates(TEXTS)]
    context = ranker.read(QUERY)
    assert ranker.read(QUERY) is context
    row = [np.array(ranker.cutting.context(QUERY)), *candidates]
    whole = ranker.heads(ranker.network.together(row, "one_way", "shared"), candidates)
    np.testing.assert_allclose(ranker.score_after(context, candidates), whole, atol=EQUAL)
    np.testing.assert_allclose(ranker.score_after(context, candidates[3:]), whole[3:], atol=EQUAL)


@pytest.mark.parametrize("family", FAMILIES)
def test_arrow_with_one_candidate_is_a_cross_encoder(opened: Any, make_ranker: MakeRanker, family: str) -> None:
    ranker = opened("arrow", family).answer
    weights = read_weights(make_ranker("uni", family, mask="arrow"))[0]
    segments = weights.types is not None and len(weights.types) > 1
    network, _ = open_transformer(weights, segments=segments)
    context, text = (np.array(ids) for ids in (ranker.cutting.context(QUERY), ranker.cutting.candidates(TEXTS[:1])[0]))
    kinds = np.repeat([[0, int(segments)]], [len(context), len(text)], axis=1)
    states = network(np.concatenate([context, text])[None], kinds)[0]
    expected = states[len(context) :].mean(axis=0) @ ranker.weight + ranker.bias
    assert float(ranker(QUERY, TEXTS[:1])[0]) == pytest.approx(float(expected), abs=EQUAL)


def test_a_candidate_without_tokens_has_the_bias(opened: Any) -> None:
    ranker = opened("one_way").answer
    none, one, two = (np.arange(size) for size in (0, 3, 2))
    states = np.random.default_rng(0).normal(size=(5, len(ranker.weight))).astype(np.float32)
    means = [np.zeros_like(states[0]), states[:3].mean(axis=0), states[3:].mean(axis=0), np.zeros_like(states[0])]
    found = ranker.heads(states, [none, one, two, none])
    np.testing.assert_allclose(found, np.stack(means) @ ranker.weight + ranker.bias, rtol=1e-5)
    context = ranker.read(QUERY)
    assert ranker.score_after(context, [none, one])[0] == pytest.approx(ranker.bias)


@pytest.mark.parametrize("mask", MASKS)
def test_duplicates_have_equal_scores(opened: Any, mask: str) -> None:
    first, _, again = scores(opened(mask), ["a stone", "red", "a stone"])
    assert first == pytest.approx(again, abs=EQUAL)


@pytest.mark.parametrize("mask", MASKS)
def test_an_over_long_context_keeps_its_newest_lines_and_a_candidate_its_beginning(opened: Any, mask: str) -> None:
    scorer, long = opened(mask), " ".join(["red"] * 60)
    newest = scores(scorer, TEXTS, "blue fish\na stone")
    np.testing.assert_array_equal(scores(scorer, TEXTS, f"{long}\nblue fish\na stone"), newest)
    one_line = scores(scorer, TEXTS, f"{long} sky")
    assert np.isfinite(one_line).all()
    np.testing.assert_array_equal(scores(scorer, TEXTS, f"blue\n{long} sky"), one_line)
    cut, same = scores(scorer, [f"{long} sky", long])
    assert cut == pytest.approx(same, abs=EQUAL)


@pytest.mark.parametrize("mask", MASKS)
def test_no_candidates_have_no_scores(opened: Any, mask: str) -> None:
    found = opened(mask).score(QUERY, [])
    assert found.dtype == np.float32
    assert found.shape == (0,)


def test_threads_and_groups_change_nothing(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, texts = opened("one_way"), TEXTS * 30
    monkeypatch.setenv("RETR_THREADS", "1")
    one = scores(scorer, texts)
    monkeypatch.setenv("RETR_THREADS", "3")
    np.testing.assert_allclose(scores(scorer, texts), one, atol=EQUAL)
    np.testing.assert_allclose(one, np.tile(one[: len(TEXTS)], 30), atol=EQUAL)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mask", MASKS)
def test_scores_are_torchs(opened: Any, make_ranker: MakeRanker, family: str, mask: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from retr.encoders.trainable.uni import open_uni

    student = open_uni(make_ranker("uni", family, mask=mask))
    student.module.eval()
    with torch.no_grad():
        expected = student.score([QUERY], [TEXTS])[0].numpy()
    np.testing.assert_allclose(scores(opened(mask, family), TEXTS), expected, atol=EQUAL)


def test_arrays_are_laid_out_as_tensors_are() -> None:
    pytest.importorskip("torch")
    from retr.encoders.rankers.layout import lay_rows
    from retr.encoders.trainable.masks import lay_out

    rows = [[np.arange(4), np.arange(2), np.arange(3)], [np.arange(2), np.arange(6)]]
    for mask in MASKS:
        for positions in ("shared", "unique"):
            ours = lay_rows(rows, mask, positions)  # type: ignore[arg-type]
            theirs = lay_out([[len(block) for block in row] for row in rows], mask, positions=positions)  # type: ignore[arg-type]
            np.testing.assert_array_equal(ours.mask == 0, theirs.mask.numpy() == 0)
            for name in ("positions", "segments", "blocks"):
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name).numpy())


def test_what_does_not_fit_is_told_in_one_line(make_ranker: MakeRanker, write_tensors: Any) -> None:
    folder = make_ranker("uni")
    with pytest.raises(BadInput, match="fewer candidates"):
        load_scorer(str(make_ranker("uni", mask="arrow", positions="unique"))).score("red", ["the red fish swims"] * 30)
    with pytest.raises(BadInput, match="98 positions"):
        load_scorer(str(make_ranker("uni", context_tokens=90)))
    write_tensors(folder / "uni.safetensors", {"weight": np.zeros((1, 8)), "bias": np.zeros(1)})
    with pytest.raises(Damaged, match="does not fit"):
        load_scorer(str(folder))
    (folder / "uni.safetensors").unlink()
    with pytest.raises(NotFound, match=r"uni\.safetensors is missing"):
        load_scorer(str(folder))


def test_a_table_that_makes_no_sense_is_told(make_ranker: MakeRanker) -> None:
    folder = make_ranker("uni")
    for change, says in (
        ({"mask": "square"}, "'arrow', 'one_way'"),
        ({"more": 1}, "more"),
        ({"positions": 3}, "positions"),
    ):
        told = {"uni": {"kind": "uni", "context_tokens": 40, "candidate_tokens": 24, **change}}
        (folder / "retr.json").write_text(json.dumps(told))
        with pytest.raises((BadInput, NotFound), match=says):
            load_scorer(str(folder))
