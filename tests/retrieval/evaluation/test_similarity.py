"""Correlations against answers by hand and against scipy, ties included."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.evaluation.similarity import average_ranks, evaluate_similarity, pearson, spearman


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert average_ranks(np.array([5.0, 1.0, 5.0, 9.0, 5.0])).tolist() == [3.0, 1.0, 3.0, 5.0, 3.0]


def test_correlations_by_hand() -> None:
    found = evaluate_similarity([1, 2, 3, 10], [1, 3, 2, 4])
    assert found.means["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    # Around the means: (-3, -2, -1, 6) and (-1.5, 0.5, -0.5, 1.5); products add up to 4.5 - 1 + 0.5 + 9 = 13.
    assert found.means["pearson"] == pytest.approx(13 / np.sqrt(50 * 5))
    assert found.pairs == 4


def test_the_parts_of_the_pairs_have_the_correlation_as_their_mean() -> None:
    found = evaluate_similarity([0.1, 0.4, 0.2, 0.9], [1, 2, 5, 4])
    for name, parts in found.parts.items():
        assert parts.shape == (4,)
        assert parts.mean() == pytest.approx(found.means[name])


numbers = st.one_of(st.sampled_from([0.0, 1.0, 2.5, 5.0]), st.floats(-1e6, 1e6))


@settings(deadline=None, max_examples=200)
@given(rows=st.lists(st.tuples(numbers, numbers), min_size=3, max_size=30))
def test_values_equal_scipy(rows: list[tuple[float, float]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    one, other = np.array(rows).T
    for values in (one, other):
        assume(np.ptp(values) > 1e-3)
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-9)
    assert pearson(one, other) == pytest.approx(stats.pearsonr(one, other).statistic, abs=1e-6)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_the_size_of_the_numbers_does_not_matter(size: float) -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0])
    assert pearson(values * size, values) == pytest.approx(1.0)


def test_flat_values_have_no_correlation() -> None:
    assert np.isnan(pearson(np.ones(3), np.arange(3.0)))
    with pytest.raises(BadInput, match="so no correlation"):
        evaluate_similarity([0.5, 0.5, 0.5], [1, 2, 3])


def test_lengths_must_agree() -> None:
    with pytest.raises(Mismatch, match="3 scores of the model, but 2"):
        evaluate_similarity([1, 2, 3], [1, 2])


@pytest.mark.parametrize("scores", [[1.0], [[1.0, 2.0]], [1.0, float("nan")], [1.0, float("inf")]])
def test_what_is_no_list_of_finite_numbers_is_refused(scores: list[float]) -> None:
    with pytest.raises(BadInput):
        evaluate_similarity(scores, [1.0, 2.0])
