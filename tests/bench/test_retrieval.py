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
