"""The paired tests: hand-worked p-values, scipy's answers, rounding, seeds, and the rate of false alarms."""

import numpy as np
import pytest

from retr.retrieval.evaluation.significance.resampling import Draws, Floats
from retr.retrieval.evaluation.significance.testing import (
    ENUMERATED,
    TESTS,
    Test,
    bootstrap,
    holm,
    randomisation,
    spread,
    statistics,
    student,
)

DRAWS = Draws(20_000, 0)


def column(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)[:, None]


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ((1.0, 2.0, 3.0), 2 / 8),  # Of 8 sums only +6 and -6 are as large.
        ((1.0, 2.0, -3.0), 1.0),  # The sum is 0: every pattern is as far from it.
        ((1.0, 1.0, -1.0), 1.0),  # |sum| = 1; all 8 sums are odd.
        ((3.0, 2.0, -1.0), 4 / 8),  # |sum| = 4: of ±6, ±4, ±2, 0, 0 four are as large.
        ((0.0, 0.0, 2.0, 0.0), 1.0),  # One query that differs shows nothing.
        ((1.0,) * 8, 2 / 256),
        ((1.0,) * 16, 2 / 65536),
    ],
)
def test_the_randomisation_test_counts_every_swap(differences: tuple[float, ...], p: float) -> None:
    assert randomisation(column(*differences), DRAWS).tolist() == [p]


def test_ties_add_nothing_to_the_randomisation_test() -> None:
    without, among = column(1.0, 2.0, 3.0, -1.0), column(0.0, 1.0, 0.0, 2.0, 3.0, 0.0, -1.0)
    assert randomisation(without, DRAWS) == randomisation(among, DRAWS)


def test_equal_sums_in_another_order_of_adding_are_equal() -> None:
    # 0.1 + 0.2 - 0.3 is 5.6e-17, not 0: without tolerance, the patterns that give 0 would count as smaller.
    assert randomisation(column(0.1, 0.2, -0.3), DRAWS).tolist() == [1.0]
    # Of 16 sums 8 are ±0.6 and 2 are ±1.2, whatever their last digits say.
    assert randomisation(column(0.3, 0.3, 0.3, -0.3), DRAWS).tolist() == [10 / 16]


def test_drawn_swaps_come_near_the_exact_share() -> None:
    values = np.random.default_rng(3).normal(0.4, 1.0, ENUMERATED + 1)
    exact = np.abs(np.stack(np.meshgrid(*[[v, -v] for v in values], indexing="ij")).sum(axis=0))
    share = float((exact >= abs(values.sum()) - 1e-9).mean())
    [drawn] = randomisation(column(*values), Draws(100_000, 0))
    assert drawn == pytest.approx(share, abs=5 * np.sqrt(share / 100_000))
    assert drawn != share


def test_a_drawn_p_is_never_0() -> None:
    assert randomisation(column(*[1.0] * 40), Draws(1000, 0)).tolist() == [1 / 1001]


def test_student_by_hand() -> None:
    # Mean 2, standard deviation 1, 3 queries: t = 2√3 with 2 degrees of freedom, whose tails are 2 / (2+t²+t√(2+t²)).
    t = 2 * np.sqrt(3)
    [p] = student(column(1.0, 2.0, 3.0), DRAWS)
    assert p == pytest.approx(2 / (2 + t * t + t * np.sqrt(2 + t * t)), rel=1e-12)


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_identical_runs_have_p_1(test: Test) -> None:
    assert test(np.zeros((30, 2)), DRAWS).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_one_difference_everywhere_is_as_sure_as_the_draws_allow(test: Test) -> None:
    [p] = test(column(*[0.1] * 30), DRAWS)
    assert p <= 1 / (DRAWS.samples + 1)


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_the_order_of_two_systems_does_not_matter(test: Test) -> None:
    values = np.random.default_rng(0).normal(0.2, 1, (40, 3))
    assert test(values, DRAWS) == pytest.approx(test(-values, DRAWS))


@pytest.mark.parametrize("test", [randomisation, bootstrap])
def test_the_seed_decides(test: Test) -> None:
    values = np.random.default_rng(0).normal(0.2, 1, (40, 1))
    first, again, other = (test(values, Draws(2000, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_a_pair_has_the_same_p_alone_and_among_others(test: Test) -> None:
    values = np.random.default_rng(0).normal(0.2, 1, (40, 4))
    assert test(values, DRAWS)[2] == pytest.approx(test(values[:, 2:3], DRAWS)[0], rel=1e-12)


def test_scipy_agrees() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(5).normal(0.1, 0.4, (12, 3))
    for pair in values.T:
        exact = stats.permutation_test(
            (pair,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        ).pvalue
        assert randomisation(pair[:, None], DRAWS)[0] == pytest.approx(exact, rel=1e-12)
        assert student(pair[:, None], DRAWS)[0] == pytest.approx(stats.ttest_1samp(pair, 0).pvalue, rel=1e-12)


def test_the_bootstrap_divides_by_each_draws_own_spread() -> None:
    values = np.random.default_rng(6).gamma(1.0, 1.0, (25, 1)) - 0.7
    rng = np.random.default_rng(9)
    moved = values[:, 0] - values.mean()
    draws = moved[rng.integers(0, 25, (40_000, 25))]
    slow = np.abs(draws.mean(axis=1)) / (draws.std(axis=1, ddof=1) / 5)
    expected = float((slow >= abs(statistics(values)[0])).mean())
    assert bootstrap(values, Draws(40_000, 1))[0] == pytest.approx(expected, abs=0.01)


def test_a_spread_of_rounding_alone_is_none() -> None:
    values = column(0.3 - 0.1, 0.2, 0.1 + 0.1)
    assert values.std() > 0
    assert spread(values).tolist() == [0.0]


def test_holm_by_hand() -> None:
    # In order: 0.01 x 4, 0.02 x 3, then 0.03 x 2 = 0.06 and 0.04 x 1, which must not fall below 0.06.
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.4, 0.9, 0.5])).tolist() == [1.0, 1.0, 1.0]
    assert holm(np.array([0.03])).tolist() == [0.03]


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_equal_systems_are_told_apart_in_one_case_of_twenty(test: Test) -> None:
    """1,000 pairs over 50 queries, values as nDCG has them: many 0, many 1; a coin swaps the systems in each query."""
    rng = np.random.default_rng(11)
    first, second = (np.clip(rng.normal(mean, 0.6, (50, 1000)), 0, 1) for mean in (0.5, 0.7))
    coin = rng.random(first.shape) < 0.5
    differences = np.where(coin, first - second, second - first)
    rate = float((test(differences, Draws(2000, 3)) <= 0.05).mean())
    assert 0.035 <= rate <= 0.065
