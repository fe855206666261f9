"""Bootstrap intervals, effect sizes and power, against hand-worked cases and scipy."""

import math

import numpy as np
import pytest

from retr.retrieval.evaluation.significance.distributions import noncentral_t_cdf
from retr.retrieval.evaluation.significance.effects import detectable_effect, effect_interval, power
from retr.retrieval.evaluation.significance.intervals import INTERVALS, bias_corrected, intervals, percentile
from retr.retrieval.evaluation.significance.resampling import Draws, resampled_means

DRAWS = Draws(20_000, 0)


def test_each_query_is_drawn_as_often_as_any_other() -> None:
    counts = np.concatenate(list(DRAWS.counts(5)))
    assert counts.shape == (20_000, 5)
    assert set(counts.sum(axis=1)) == {5.0}
    assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    assert counts.var() == pytest.approx(5 * 0.2 * 0.8, abs=0.02)  # Binomial(5, 1/5).


def test_each_sign_is_drawn_by_a_fair_coin() -> None:
    flips = np.concatenate(list(DRAWS.flips(11)))
    assert flips.shape == (20_000, 11)
    assert set(np.unique(flips)) == {0.0, 1.0}
    assert flips.mean(axis=0) == pytest.approx(np.full(11, 0.5), abs=0.02)
    assert abs(np.corrcoef(flips.T)[~np.eye(11, dtype=bool)]).max() < 0.04


def test_draws_of_many_blocks_are_as_many_as_asked() -> None:
    assert sum(len(block) for block in Draws(1000, 0).flips(5000)) == 1000


def test_percentiles_are_read_off_the_resampled_means() -> None:
    means = np.arange(101, dtype=np.float64)
    assert percentile(np.zeros(3), means, 0.1) == (5.0, 95.0)


def test_bca_without_skewness_or_bias_is_the_percentile_interval() -> None:
    values, means = np.array([-1.0, 0.0, 1.0]), np.arange(-50.0, 51.0)
    assert bias_corrected(values, means, 0.1) == pytest.approx(percentile(values, means, 0.1), abs=1e-9)


def test_bca_moves_towards_the_long_tail() -> None:
    values = np.array([0.0] * 18 + [1.0, 1.0])
    means = resampled_means(values[:, None], DRAWS)[:, 0]
    skewed, plain = bias_corrected(values, means, 0.05), percentile(values, means, 0.05)
    assert skewed[1] > plain[1]
    assert skewed[0] >= plain[0]


@pytest.mark.parametrize("method", INTERVALS)
def test_the_interval_of_one_and_the_same_difference_has_no_width(method: str) -> None:
    assert intervals(np.full((9, 1), 0.25), DRAWS, 0.05, method) == [(0.25, 0.25)]
    assert intervals(np.zeros((9, 1)), DRAWS, 0.05, method) == [(0.0, 0.0)]


@pytest.mark.parametrize(("method", "theirs"), [("bca", "BCa"), ("percentile", "percentile")])
def test_scipys_bootstrap_agrees(method: str, theirs: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).gamma(1.0, 1.0, 40) - 0.8
    expected = stats.bootstrap((values,), np.mean, n_resamples=40_000, method=theirs, rng=2).confidence_interval
    [ours] = intervals(values[:, None], Draws(40_000, 0), 0.05, method)
    assert ours == pytest.approx(tuple(expected), abs=0.012)


def test_the_expanded_interval_reaches_as_far_as_students() -> None:
    values = np.random.default_rng(4).normal(0.0, 1.0, 12)
    [(low, high)] = intervals(values[:, None], Draws(200_000, 0), 0.05, "expanded")
    assert high - low == pytest.approx(2 * 2.2010 * values.std(ddof=1) / math.sqrt(12), rel=0.05)
    [(narrow_low, narrow_high)] = intervals(values[:, None], Draws(200_000, 0), 0.05, "percentile")
    assert low < narrow_low < narrow_high < high


def test_a_means_95_percent_interval_is_about_two_standard_errors_each_way() -> None:
    values = np.random.default_rng(2).normal(0.0, 1.0, 400)
    [(low, high)] = intervals(values[:, None], DRAWS, 0.05, "percentile")
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.03)


def test_the_observed_t_is_a_quantile_at_both_ends_of_an_effects_interval() -> None:
    low, high = effect_interval(0.5, 25, 0.05)
    assert noncentral_t_cdf(2.5, 24, low * 5) == pytest.approx(0.975, abs=1e-6)
    assert noncentral_t_cdf(2.5, 24, high * 5) == pytest.approx(0.025, abs=1e-6)
    assert low < 0.5 < high
    assert effect_interval(-0.5, 25, 0.05) == pytest.approx((-high, -low), abs=1e-6)


def test_an_effects_interval_excludes_0_exactly_when_t_is_significant() -> None:
    critical = 2.0638985616280205  # Two-sided 5% with 24 degrees of freedom.
    assert effect_interval(critical / 5, 25, 0.05)[0] == pytest.approx(0.0, abs=1e-6)


def test_power_without_an_effect_is_alpha() -> None:
    assert power(0.0, 30, 0.05) == pytest.approx(0.05, abs=1e-6)


def test_power_is_that_of_cohens_tables() -> None:
    # d = 0.5 with 34 pairs has a power of 80% two-sided at 5% (G*Power's example for the paired t-test: 0.8078).
    assert power(0.5, 34, 0.05) == pytest.approx(0.8078, abs=2e-4)


@pytest.mark.parametrize("queries", [2, 10, 50, 1000])
def test_the_detectable_effect_is_found_with_the_power_wanted(queries: int) -> None:
    assert power(detectable_effect(queries, 0.05, 0.8), queries, 0.05) == pytest.approx(0.8, abs=1e-6)


def test_many_queries_detect_by_the_normal_rule() -> None:
    assert detectable_effect(10_000, 0.05, 0.8) * math.sqrt(10_000) == pytest.approx(1.95996 + 0.84162, rel=1e-3)


def test_nineteen_of_twenty_expanded_intervals_hold_the_truth_where_percentiles_are_too_narrow() -> None:
    values = np.random.default_rng(8).normal(0.0, 1.0, (8, 1000))
    held = {}
    for method in INTERVALS:
        ends = np.array(intervals(values, Draws(2000, 5), 0.05, method))
        held[method] = float(((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean())
    assert 0.935 <= held["expanded"] <= 0.965
    assert held["percentile"] < 0.92
    assert held["bca"] < 0.92
