"""Intervals of one system."""

import numpy as np
import pytest

from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals, statistic_intervals
from retr.retrieval.evaluation.similarity import CORRELATIONS

FEW = IntervalSettings(samples=2000, statistic_samples=300)


def test_an_interval_of_means_is_about_two_standard_errors_to_each_side() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    low, high = mean_intervals({"ndcg": {str(row): one for row, one in enumerate(values)}}, FEW)["ndcg"]
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_the_same_seed_gives_the_same_interval() -> None:
    per_query = {"mrr": {"a": 0.1, "b": 0.9, "c": 0.3, "d": 0.45}}
    assert mean_intervals(per_query, FEW) == mean_intervals(per_query, FEW)
    other = IntervalSettings(samples=50, seed=5)
    assert mean_intervals(per_query, other) != mean_intervals(per_query, IntervalSettings(samples=50, seed=6))


def test_a_correlation_lies_in_its_interval() -> None:
    rng = np.random.default_rng(0)
    gold = rng.normal(size=200)
    scores = gold + rng.normal(size=200)
    found = statistic_intervals(CORRELATIONS, scores, gold, FEW)
    for name, (low, high) in found.items():
        assert low < CORRELATIONS[name](scores, gold) < high
        assert 0.1 < high - low < 0.3


def test_draws_without_a_value_are_left_out() -> None:
    found = statistic_intervals(CORRELATIONS, np.array([1.0, 2.0]), np.array([1.0, 3.0]), FEW)
    assert found["pearson"] == pytest.approx((1.0, 1.0))


def test_a_statistic_that_is_never_defined_is_refused() -> None:
    with pytest.raises(BadInput, match="pearson is defined for no draw"):
        statistic_intervals({"pearson": lambda one, other: float("nan")}, np.ones(2), np.ones(2), FEW)


def test_one_query_says_nothing_of_others() -> None:
    with pytest.raises(BadInput, match="at least 2 queries"):
        mean_intervals({"mrr": {"a": 1.0}})


def test_few_queries_have_a_wider_interval_than_their_percentiles() -> None:
    values = np.random.default_rng(0).random(8)
    low, high = mean_intervals({"mrr": {str(row): float(one) for row, one in enumerate(values)}})["mrr"]
    drawn = np.random.default_rng(1).choice(values, (20_000, 8)).mean(axis=1)
    plain = np.subtract(*np.quantile(drawn, [0.975, 0.025]))
    assert 1.15 * plain < high - low < 1.4 * plain


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(BadInput, match="seed must be at least 0"):
        IntervalSettings(seed=-1)
