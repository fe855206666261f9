"""The parts of the quality benches that decide a number: samples, weights out of an ONNX file, tests, adjusted p."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.retrieval.records import Query

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield


def measured(system: str, values: dict[str, float], **changes: object) -> dict[str, Any]:
    metrics = {name: values for name in ("ndcg@10", "mrr@10", "recall@100", "map")}
    whole = {"set": "cisi", "system": system, "documents": 9, "queries": len(values), "of_queries": 4}
    return {**whole, "reranked": None, "cpu_seconds": 1.0, "commit": "c", "values": metrics, **changes}


def test_a_sample_is_the_same_each_time_and_grows_at_its_end() -> None:
    from retrieval_sets import sample

    queries = [Query(str(number), "a") for number in range(20)]
    assert sample(queries, 5, 7) == sample(list(reversed(queries)), 5, 7)
    assert sample(queries, 6, 7)[:5] == sample(queries, 5, 7)
    assert sample(queries, 5, 8) != sample(queries, 5, 7)
    assert sample(queries, 20, 7) == tuple(queries)


def test_a_matrix_is_scale_times_what_lies_above_the_zero_point() -> None:
    from cross_folder import product_name, real

    stored = {
        "w_quantized": np.array([[3, 250], [10, 0]], np.uint8),
        "w_scale": np.float32(0.5),
        "w_zero_point": np.uint8(10),
    }
    assert real(stored, "w_quantized").tolist() == [[-3.5, 120.0], [0.0, -5.0]]
    assert product_name("/bert/encoder/layer.3/attention/self/query/MatMul_quant") == (
        "bert.encoder.layer.3.attention.self.query"
    )


def test_no_pair_is_scored_twice() -> None:
    from retrieval_systems import Remembering

    asked: list[list[str]] = []

    class Length:
        def score(self, query: str, texts: list[str]) -> Any:
            asked.append(list(texts))
            return np.array([len(text) for text in texts], np.float32)

    scorer = Remembering(Length())
    assert scorer.score("q", ["aa", "b", "aa"]).tolist() == [2, 1, 2]
    assert scorer.score("q", ["b", "ccc"]).tolist() == [1, 3]
    assert asked == [["aa", "b"], ["ccc"]]


def test_a_system_asked_fewer_queries_is_tested_over_those() -> None:
    from retrieval_tables import result

    all_queries = measured("bm25", {"a": 0.5, "b": 0.5, "c": 0.0, "d": 0.0})
    fewer = measured("bm25+cross", {"a": 1.0, "b": 0.5}, reranked=50)
    rows = {row["system"]: row for row in result([all_queries, fewer], {}, 7)["rows"]}
    assert rows["bm25+cross"]["against_bm25"]["difference"] == pytest.approx(0.25)
    assert (rows["bm25+cross"]["against_bm25"]["wins"], rows["bm25+cross"]["against_bm25"]["ties"]) == (1, 1)


def test_p_is_adjusted_over_all_systems_of_a_set() -> None:
    from retrieval_tables import tests

    base = measured("bm25", {str(number): 0.0 for number in range(8)})
    better = measured("dense", {str(number): 0.5 for number in range(8)})
    alike = measured("hybrid", {str(number): 0.5 if number < 4 else -0.5 for number in range(8)})
    # All 256 ways to swap: two are as far from 0 as eight gains; Holm doubles the smaller of two.
    found = {pair.system: pair for pair in tests([base, better, alike], 7)}
    assert found["dense"].p == pytest.approx(2 / 256)
    assert found["dense"].adjusted_p == pytest.approx(4 / 256)
    assert found["hybrid"].adjusted_p == pytest.approx(1.0)


def test_a_figure_far_from_the_stated_one_shows_its_experiments() -> None:
    from retrieval_tables import page_table, result, why_table

    steps = [{"step": "as stated", "ndcg@10": 0.39, "map": 0.2}, {"step": "other words", "ndcg@10": 0.3, "map": 0.1}]
    rows = result([measured("bm25", {"a": 0.3, "b": 0.3})], {"cisi": {"bm25": steps}}, 7)["rows"]
    assert page_table(rows).rows[0][3:6] == ["0.3000", "0.3960", "-0.0960"]
    assert [row[2] for row in why_table(rows).rows] == ["0.3960", "0.3000", "0.3900", "0.3000"]
    assert "nearest" in why_table(rows).rows[2][1]
    far = result([measured("bm25", {"a": 0.3, "b": 0.3})], {"cisi": {"bm25": steps[1:]}}, 7)["rows"]
    assert "nearest" not in why_table(far).rows[2][1]


def test_a_run_s_scores_give_those_of_passages_that_it_does_not_hold() -> None:
    from retrieval_lucene import beyond, shares

    texts = {
        "1": "red fish",
        "2": "red red stone",
        "3": "the fish in cold water",
        "4": "a fish, red as a fish",
        "5": "sky",
    }
    idf = np.array([2.0, 5.0])
    stated = dict(zip(texts, (shares(["red", "fish"], list(texts.values())) @ idf).tolist(), strict=True))
    run = {id: stated[id] for id in ("1", "2", "3")}
    others, found = beyond("The red fish", run, texts)
    assert found.terms == ("red", "fish")
    assert others == pytest.approx({"4": stated["4"], "5": 0.0})
    assert found.residual == pytest.approx(0, abs=1e-9)


def test_words_become_lucene_s_terms() -> None:
    from retrieval_lucene import tokens

    assert tokens("The anthropology of Anna's anthropological rivers") == [
        "anthropolog",
        "anna",
        "anthropolog",
        "river",
    ]


def test_a_score_beyond_the_list_lies_on_the_line_through_the_logarithm_of_rank() -> None:
    from retrieval_lucene import score_at

    scores = [20 - 2 * np.log(rank) for rank in range(1, 101)]
    assert score_at(1000, scores) == pytest.approx(20 - 2 * np.log(1000))


def test_a_curve_is_carried_on_as_it_was_made() -> None:
    from retrieval_depth import DEPTHS, extrapolated

    curve = np.array([[0.8 - 0.5 * depth**-0.5 + shift for shift in (-0.1, 0.0, 0.1)] for depth in DEPTHS])
    found = extrapolated(curve, 7)
    assert found["power"] == pytest.approx(0.5)
    assert found["value"] == pytest.approx(0.8 - 0.5 * 1000**-0.5)
    assert found["low"] < found["value"] < found["high"]


def test_the_best_order_and_the_relevant_share_are_those_of_the_judgements() -> None:
    from retrieval_depth import row_of
    from retrieval_sets import Loaded

    from retr.retrieval.runs import Qrels, Run

    grades = {"p": {"a": 3, "b": 2, "c": 1}, "q": {"a": 2}}
    data = Loaded({}, (), Qrels(grades), Run())
    row = row_of({"p": ["x", "b"], "q": ["a", "x"]}, {"p": 0.2, "q": 0.6}, {"p": 0.1, "q": 0.6}, data, 7)
    assert row["relevant"] == pytest.approx(0.75)
    ideal = 3 + 2 / np.log2(3) + 1 / 2
    assert row["best"] == pytest.approx((2 / ideal + 1) / 2)
    assert (row["mean"], row["against_100"]["difference"]) == (pytest.approx(0.4), pytest.approx(0.05))


def test_the_page_knows_the_lists_by_their_names() -> None:
    from results_depth import HUNDRED, RERANKED
    from retrieval_depth import DEPTHS, first
    from retrieval_sets import SETS

    assert first(DEPTHS[-1]) == HUNDRED
    assert SETS[RERANKED].given == "runs/bm25.top100.tsv"
