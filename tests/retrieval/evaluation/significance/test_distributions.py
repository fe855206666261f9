"""Student's t against printed tables and closed forms, and against scipy where it is installed."""

import math

import pytest

from retr.retrieval.evaluation.significance.distributions import (
    incomplete_beta,
    noncentral_t_cdf,
    normal_cdf,
    t_critical,
    t_two_sided,
)


@pytest.mark.parametrize(("freedom", "critical"), [(1, 12.706), (2, 4.303), (10, 2.228), (49, 2.010), (120, 1.980)])
def test_critical_values_are_those_of_printed_tables(freedom: int, critical: float) -> None:
    assert t_critical(0.05, freedom) == pytest.approx(critical, abs=5e-4)


@pytest.mark.parametrize("t", [1e-9, 0.3, 1.0, 7.0, 1e4])
def test_one_degree_of_freedom_is_cauchys(t: float) -> None:
    assert t_two_sided(t, 1) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=1e-9)


@pytest.mark.parametrize("t", [0.1, 1.0, 3.0, 30.0])
def test_two_degrees_of_freedom_have_a_closed_form(t: float) -> None:
    assert t_two_sided(t, 2) == pytest.approx(2 / (2 + t * t + t * math.sqrt(2 + t * t)), rel=1e-12)


def test_no_t_is_certain_and_an_infinite_one_impossible() -> None:
    assert t_two_sided(0.0, 9) == 1.0
    assert t_two_sided(math.inf, 9) == t_two_sided(-math.inf, 9) == 0.0


def test_the_beta_function_of_whole_numbers_is_a_binomial_tail() -> None:
    tail = sum(math.comb(6, k) * 0.3**k * 0.7 ** (6 - k) for k in range(2, 7))
    assert incomplete_beta(0.3, 0.7, 2, 5) == pytest.approx(tail, rel=1e-13)
    assert incomplete_beta(0.7, 0.3, 5, 2) == pytest.approx(1 - tail, rel=1e-13)
    assert (incomplete_beta(0.0, 1.0, 2, 5), incomplete_beta(1.0, 0.0, 2, 5)) == (0.0, 1.0)


@pytest.mark.parametrize("freedom", [1, 4, 60, 5000])
@pytest.mark.parametrize("t", [-2.0, 0.5, 3.0])
def test_without_a_shift_the_noncentral_t_is_the_central_one(freedom: int, t: float) -> None:
    half = t_two_sided(t, freedom) / 2
    assert noncentral_t_cdf(t, freedom, 0.0) == pytest.approx(half if t < 0 else 1 - half, abs=1e-8)


def test_at_zero_the_noncentral_t_is_normal() -> None:
    assert noncentral_t_cdf(0.0, 7, 1.3) == pytest.approx(normal_cdf(-1.3), abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 30, 299, 9999])
def test_scipy_agrees(freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    for t in (1e-6, 0.5, 2.0, 20.0):
        assert t_two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-9)
    for t, shift in ((-1.0, -2.0), (0.5, 1.0), (2.0, 3.0), (10.0, 12.0)):
        assert noncentral_t_cdf(t, freedom, shift) == pytest.approx(stats.nct.cdf(t, freedom, shift), abs=2e-8)
