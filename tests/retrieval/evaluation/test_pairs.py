"""Pair classification against answers by hand and against scikit-learn, ties included."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.evaluation.pairs import auc, average_precision, evaluate_pairs


def test_figures_by_hand() -> None:
    # Falling: 0.9 right, 0.8 wrong, 0.7 right, 0.1 wrong.
    found = evaluate_pairs([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0])
    assert found.auc == pytest.approx(3 / 4)
    assert found.ap == pytest.approx((1 + 2 / 3) / 2)
    assert (found.f1, found.f1_threshold) == (pytest.approx(4 / 5), 0.7)
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), 1.0)
    assert (found.accuracy, found.accuracy_threshold) == (pytest.approx(3 / 4), 0.9)
    assert (found.pairs, found.positives) == (4, 2)


def test_a_constant_score_is_no_better_than_chance() -> None:
    found = evaluate_pairs([0.3] * 5, [1, 0, 0, 0, 1])
    assert found.auc == 0.5
    assert found.ap == pytest.approx(2 / 5)


def test_refusing_all_is_a_threshold_too() -> None:
    found = evaluate_pairs([0.9, 0.1, 0.2, 0.3], [0, 1, 0, 0])
    assert found.accuracy == 3 / 4
    assert found.accuracy_threshold > 0.9


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(
        st.tuples(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(-5, 5)), st.booleans()), min_size=2, max_size=40
    ).filter(lambda rows: len({label for _, label in rows}) == 2)
)
def test_values_equal_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = pytest.importorskip("sklearn.metrics")
    scores, labels = np.array([score for score, _ in rows]), np.array([label for _, label in rows])
    found = evaluate_pairs(scores, labels)
    assert found.auc == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert found.ap == pytest.approx(metrics.average_precision_score(labels, scores))
    thresholds = [*np.unique(scores), np.inf]
    f1 = [metrics.f1_score(labels, scores >= level, zero_division=0) for level in thresholds]
    accuracy = [metrics.accuracy_score(labels, scores >= level) for level in thresholds]
    assert found.f1 == pytest.approx(max(f1))
    assert found.accuracy == pytest.approx(max(accuracy))
    assert metrics.f1_score(labels, scores >= found.f1_threshold) == pytest.approx(max(f1))
    assert metrics.accuracy_score(labels, scores >= found.accuracy_threshold) == pytest.approx(max(accuracy))
    assert metrics.recall_score(labels, scores >= found.f1_threshold) == pytest.approx(found.recall)
    assert metrics.precision_score(labels, scores >= found.f1_threshold) == pytest.approx(found.precision)


def test_one_class_alone_has_no_figure() -> None:
    scores = np.array([0.1, 0.2])
    assert np.isnan(auc(scores, np.array([True, True])))
    assert np.isnan(average_precision(scores, np.array([False, False])))
    with pytest.raises(BadInput, match="All 2 pairs have the label 1"):
        evaluate_pairs(scores, [1, 1])


def test_a_label_is_0_or_1() -> None:
    with pytest.raises(BadInput, match="neither 0 nor 1"):
        evaluate_pairs([0.1, 0.2], [1, 2])


def test_a_score_must_be_finite() -> None:
    with pytest.raises(BadInput, match="score of pair 2 is nan"):
        evaluate_pairs([0.1, float("nan")], [1, 0])


def test_lengths_must_agree() -> None:
    with pytest.raises(Mismatch, match=r"\[2\], the labels \[1\]"):
        evaluate_pairs([0.1, 0.2], [1])
