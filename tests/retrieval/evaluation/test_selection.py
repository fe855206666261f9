"""Response selection by hand."""

import pytest

from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.evaluation.selection import evaluate_selection

# a: the right one of three is second; b: right ones are first and last of three.
SCORES = {"a": [0.9, 0.5, 0.1], "b": [0.1, 0.8, 0.5]}
LABELS = {"a": [0, 1, 0], "b": [1, 1, 0]}


def test_figures_by_hand() -> None:
    found = evaluate_selection(SCORES, LABELS)
    assert found.means == pytest.approx(
        {
            "r3@1": (0 + 1 / 2) / 2,
            "r3@2": (1 + 1 / 2) / 2,
            "mrr": (1 / 2 + 1) / 2,
            "map": (1 / 2 + (1 + 2 / 3) / 2) / 2,
        }
    )
    assert found.per_query["mrr"] == {"a": 0.5, "b": 1.0}


def test_a_model_that_cannot_decide_gains_nothing() -> None:
    found = evaluate_selection({"a": [1.0, 1.0, 1.0]}, {"a": [1, 0, 0]}, ["r3@1", "r3@2", "r3@3"])
    assert list(found.means.values()) == [0.0, 0.0, 1.0]


def test_lists_with_nothing_to_tell_apart_are_left_out() -> None:
    found = evaluate_selection(SCORES | {"c": [1.0], "d": [1.0, 2.0]}, LABELS | {"c": [1], "d": [0, 0]})
    assert (found.queries, found.unjudged) == (2, ("c", "d"))


def test_grades_count_in_ndcg() -> None:
    best = evaluate_selection({"a": [3.0, 2.0, 1.0]}, {"a": [2, 1, 0]}, ["ndcg"])
    worse = evaluate_selection({"a": [2.0, 3.0, 1.0]}, {"a": [2, 1, 0]}, ["ndcg"])
    assert best.means["ndcg"] == 1.0 > worse.means["ndcg"]


def test_lists_of_different_lengths_have_no_r_n_at_k() -> None:
    scores, labels = SCORES | {"c": [1.0, 2.0]}, LABELS | {"c": [0, 1]}
    assert list(evaluate_selection(scores, labels).means) == ["recall@1", "mrr", "map"]
    with pytest.raises(BadInput, match="lists of 3 candidates each; these have 2, 3"):
        evaluate_selection(scores, labels, ["r3@1"])


@pytest.mark.parametrize("metric", ["r3@0", "r3@4"])
def test_a_depth_outside_of_the_list_is_refused(metric: str) -> None:
    with pytest.raises(BadInput, match="from 1 to 3"):
        evaluate_selection(SCORES, LABELS, [metric])


def test_no_list_to_tell_apart_is_refused() -> None:
    with pytest.raises(BadInput, match="None of the 1 lists"):
        evaluate_selection({"a": [1.0, 2.0]}, {"a": [1, 1]})


def test_a_score_for_each_candidate_is_needed() -> None:
    with pytest.raises(Mismatch, match="'b' has 3 candidates"):
        evaluate_selection({"a": SCORES["a"], "b": [1.0]}, LABELS)
    with pytest.raises(BadInput, match="not finite"):
        evaluate_selection({"a": [1.0, float("nan")]}, {"a": [0, 1]})
