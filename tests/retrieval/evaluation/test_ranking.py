"""Metrics against answers worked out by hand, and against trec_eval on rankings full of ties."""

import copy
from math import log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.evaluation.ranking import METRICS, evaluate
from retr.retrieval.runs import Qrels, Run, ranked

# Ranked: d1 (not relevant), d2 (grade 2), d3 (not judged), d4 (grade 1); d5 (grade 1) was not found.
RUN = Run({"q": {"d4": 1.0, "d3": 2.0, "d2": 3.0, "d1": 4.0}})
QRELS = Qrels({"q": {"d1": 0, "d2": 2, "d4": 1, "d5": 1}})
BEST = 2 / log2(2) + 1 / log2(3) + 1 / log2(4)

BY_HAND = {
    "ndcg": (2 / log2(3) + 1 / log2(5)) / BEST,
    "ndcg@10": (2 / log2(3) + 1 / log2(5)) / BEST,
    "ndcg@2": (2 / log2(3)) / (2 + 1 / log2(3)),
    "ndcg@1": 0.0,
    "map": (1 / 2 + 2 / 4) / 3,
    "map@3": (1 / 2) / 3,
    "mrr": 1 / 2,
    "recip_rank": 1 / 2,
    "mrr@1": 0.0,
    "recall@2": 1 / 3,
    "recall": 2 / 3,
    "r@2": 1 / 3,
    "precision@2": 1 / 2,
    "precision@10": 2 / 10,
    "precision": 2 / 4,
    "hits@1": 0.0,
    "success@2": 1.0,
    "judged@3": 2 / 3,
    "judged@10": 3 / 4,
}


@pytest.mark.parametrize(("metric", "expected"), BY_HAND.items())
def test_a_metric_by_hand(metric: str, expected: float) -> None:
    evaluation = evaluate(RUN, QRELS, [metric])
    assert evaluation.means[metric] == pytest.approx(expected, abs=1e-12)
    assert evaluation.per_query[metric] == {"q": evaluation.means[metric]}


def test_every_metric_of_the_table_has_an_answer_by_hand() -> None:
    assert {name.partition("@")[0] for name in BY_HAND} == set(METRICS)


def test_a_judged_query_that_the_run_misses_counts_as_zero() -> None:
    qrels = Qrels({"q": {"d2": 1}, "lost": {"d1": 1}})
    evaluation = evaluate(RUN, qrels, ["recall@2"])
    assert evaluation.means == {"recall@2": 0.5}
    assert evaluation.per_query["recall@2"] == {"q": 1.0, "lost": 0.0}
    assert (evaluation.queries, evaluation.missing) == (2, ("lost",))


def test_a_query_without_judgements_is_left_out() -> None:
    run = Run({"q": {"d2": 1.0}, "extra": {"d2": 1.0}})
    evaluation = evaluate(run, Qrels({"q": {"d2": 1}, "extra": {}}), ["recall"])
    assert evaluation.means == {"recall": 1.0}
    assert (evaluation.queries, evaluation.unjudged) == (1, ("extra",))


def test_a_query_with_nothing_relevant_counts_as_zero() -> None:
    evaluation = evaluate(RUN, Qrels({"q": {"d1": 0, "d2": -1}}), list(METRICS))
    assert {name: value for name, value in evaluation.means.items() if value} == {"judged": 0.5}


def test_equal_scores_are_ordered_by_falling_id() -> None:
    assert ranked({"a": 1.0, "c": 1.0, "b": 1.0, "z": 0.0}) == ["c", "b", "a", "z"]


def test_scores_equal_as_float32_are_equal() -> None:
    assert ranked({"a": 16777217.0, "b": 16777216.0}) == ["b", "a"]


def test_a_score_beyond_float32_has_a_place() -> None:
    assert ranked({"a": -1e300, "b": 1e300, "c": 0.0}) == ["b", "c", "a"]


def test_a_score_of_nan_is_refused() -> None:
    with pytest.raises(BadInput, match="'b' has the score NaN"):
        ranked({"a": 1.0, "b": float("nan")})


def test_an_unknown_metric_names_the_near_one() -> None:
    with pytest.raises(NotFound, match="Did you mean 'ndcg'"):
        evaluate(RUN, QRELS, ["ndgc@10"])


@pytest.mark.parametrize(
    "metric", ["ndcg@", "ndcg@0", "ndcg@-1", "ndcg@ten", "ndcg@1.5", "ndcg@²", "ndcg@" + "9" * 5000]
)
def test_a_bad_depth_is_refused(metric: str) -> None:
    with pytest.raises(BadInput, match="Example: ndcg@10"):
        evaluate(RUN, QRELS, [metric])


def test_a_metric_may_be_written_in_capitals() -> None:
    assert evaluate(RUN, QRELS, ["nDCG@10"]).means == {"nDCG@10": pytest.approx(BY_HAND["ndcg@10"])}


def test_qrels_without_a_judgement_are_refused() -> None:
    with pytest.raises(BadInput, match="no judgement"):
        evaluate(RUN, Qrels({"q": {}}), ["map"])


def test_a_run_of_other_queries_is_refused() -> None:
    with pytest.raises(BadInput, match="the run has 'q', the qrels have 'other'"):
        evaluate(RUN, Qrels({"other": {"d1": 1}}), ["map"])


def test_an_empty_run_is_zero() -> None:
    assert evaluate(Run({}), QRELS, ["map"]).means == {"map": 0.0}


def test_evaluation_leaves_its_inputs_as_they_were() -> None:
    run, qrels = copy.deepcopy(RUN), copy.deepcopy(QRELS)
    evaluate(run, qrels, list(METRICS))
    assert (run, qrels) == (RUN, QRELS)


DOCIDS = ["a", "b", "c", "d", "e", "f", "B", "10", "9", "é", "😀", "\uffff"]
queries = st.sampled_from(["q1", "q2", "q3"])
some_scores = st.sampled_from([0.0, -1.0, 1.0, 1.0 + 1e-9, 1.0 + 1e-6, 0.1, 1e30, 16777216.0, 16777217.0])
runs = st.dictionaries(queries, st.dictionaries(st.sampled_from(DOCIDS), some_scores, min_size=1), min_size=1)
grades = st.dictionaries(st.sampled_from(DOCIDS), st.integers(0, 3), min_size=1)

TREC_NAMES = {
    "ndcg": "ndcg",
    "ndcg@3": "ndcg_cut_3",
    "map": "map",
    "map@3": "map_cut_3",
    "mrr": "recip_rank",
    "recall@3": "recall_3",
    "precision@3": "P_3",
    "precision": "set_P",
    "recall": "set_recall",
    "success@3": "success_3",
}


@settings(deadline=None, max_examples=200)
@given(run=runs, grades_of=st.fixed_dictionaries({"q1": grades, "q2": grades, "q3": grades}))
def test_values_equal_trec_eval(run: dict[str, dict[str, float]], grades_of: dict[str, dict[str, int]]) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    oracle = pytrec_eval.RelevanceEvaluator(
        grades_of,
        {"ndcg", "ndcg_cut.3", "map", "map_cut.3", "recip_rank", "recall.3", "P.3", "set_P", "set_recall", "success.3"},
    ).evaluate(run)
    ours = evaluate(Run(run), Qrels(grades_of), list(TREC_NAMES))
    for name, theirs in TREC_NAMES.items():
        for qid in grades_of:
            expected = oracle[qid][theirs] if qid in oracle else 0.0
            assert ours.per_query[name][qid] == pytest.approx(expected, abs=1e-9), (name, qid)


@settings(deadline=None, max_examples=50)
@given(run=runs, grades_of=st.fixed_dictionaries({"q1": grades, "q2": grades, "q3": grades}))
def test_means_equal_ir_measures(run: dict[str, dict[str, float]], grades_of: dict[str, dict[str, int]]) -> None:
    ir_measures = pytest.importorskip("ir_measures")
    names = {
        "ndcg@3": "nDCG@3",
        "map": "AP",
        "mrr": "RR",
        "recall@3": "R@3",
        "precision@3": "P@3",
        "hits@3": "Success@3",
    }
    theirs = ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in names.values()], grades_of, run)
    ours = evaluate(Run(run), Qrels(grades_of), list(names))
    by_name = {str(measure): value for measure, value in theirs.items()}
    assert ours.means == pytest.approx({name: by_name[theirs] for name, theirs in names.items()}, abs=1e-9)


def test_judged_equals_ir_measures_without_ties() -> None:
    ir_measures = pytest.importorskip("ir_measures")
    depths = (1, 2, 3, 10)
    measures = [ir_measures.parse_measure(f"Judged@{k}") for k in depths]
    theirs = ir_measures.calc_aggregate(measures, QRELS.grades, RUN.scores)
    ours = evaluate(RUN, QRELS, [f"judged@{k}" for k in depths])
    assert list(ours.means.values()) == pytest.approx([theirs[measure] for measure in measures])
