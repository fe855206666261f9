"""The chosen margin on made-up scores, where it is known which candidates are relevant."""

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.distill.mining.margins import Measured, chances, choose, compare, relevant_share
from retr.retrieval.errors import BadInput


def made_up(
    share: float, *, gap: float, several: int = 1, spread: float = 0.0, seed: int = 0
) -> tuple[Measured, NDArray[np.bool_]]:
    """Relevant scores N(0, 1), others N(-gap, 1), queries shifted by N(0, spread); which differences are relevant."""
    rng = np.random.default_rng(seed)
    scores, truth = [], []
    for _ in range(300):
        shift = rng.normal(0, spread)
        own = rng.normal(0, 1, several) + shift
        relevant = rng.random(60) < share
        others = np.where(relevant, rng.normal(0, 1, 60), rng.normal(-gap, 1, 60)) + shift
        scores.append((own, others, [True] * several))
        truth.append(np.repeat(relevant, several))
    return compare(scores, seed), np.concatenate(truth)


@pytest.mark.parametrize("several", [1, 3])
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_share_of_relevant_candidates_is_found(share: float, several: int) -> None:
    measured, _ = made_up(share, gap=5, several=several)
    assert measured.within == (several > 1)
    assert relevant_share(measured) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("several", [1, 3])
def test_what_is_kept_is_relevant_as_seldom_as_asked_for(several: int, seed: int) -> None:
    measured, truth = made_up(0.2, gap=4, several=several, spread=0.5, seed=seed)
    choice = choose(measured, 0.05)
    kept = measured.candidates <= -choice.margin
    nearest = kept & (measured.candidates > -choice.margin - 0.25)
    assert np.mean(truth[kept]) < 0.02 < 0.2
    assert 0 < np.mean(truth[nearest]) < 0.08  # of the hardest ones kept, close below the margin
    assert choice.dropped == pytest.approx(1 - np.mean(kept))
    assert np.mean(~truth[~kept]) > 0 and np.mean(kept[~truth]) > 0.7  # and most negatives stay


def test_a_stricter_share_widens_the_margin() -> None:
    measured, _ = made_up(0.2, gap=4, several=2)
    margins = [choose(measured, share).margin for share in (0.01, 0.05, 0.2, 0.5)]
    assert margins == sorted(margins, reverse=True) and margins[0] > margins[-1]


def test_a_candidate_above_the_positive_is_never_kept() -> None:
    measured, _ = made_up(0.0, gap=4)
    choice = choose(measured, 0.9)
    assert choice.margin == 0 and choice.share < 0.03


def test_chances_rise_with_the_score_and_are_worked_by_hand() -> None:
    # Four candidates, two known positives, half relevant: the curve (0, 0) (1/4, 0) (1/2, 0) (3/4, 1/4) (1, 1/2).
    measured = Measured(np.array([-4.0, -3, -2, -1]), np.array([-2.0, -1]), 1, True)
    ends, chance = chances(measured, 0.5)
    assert ends.tolist() == [-3, -1]
    assert chance.tolist() == [0.0, 1.0]


def test_an_unsteady_ratio_is_made_not_to_fall() -> None:
    # Known positives at -3 and -1 among candidates at -4 ... -1: the slopes 0, then (1/2) / (3/4).
    measured = Measured(np.array([-4.0, -3, -2, -1]), np.array([-3.0, -1]), 1, True)
    ends, chance = chances(measured, 0.5)
    assert ends.tolist() == [-4, -2, -1]
    assert chance == pytest.approx([0.0, 0.5, 1.0])


def test_positives_of_one_query_are_compared_where_there_are_enough() -> None:
    many = [(np.array([3.0, 1.0]), np.array([0.0]), [True, True])] * 30
    measured = compare(many, 0)
    assert measured.within and sorted(set(measured.positives.tolist())) == [-2, 2]
    assert sorted(measured.candidates.tolist()) == [-3] * 30 + [-1] * 30
    few = compare(many[:29], 0)
    assert not few.within and set(few.positives.tolist()) == {0}  # the best of each query


def test_a_positive_that_the_index_does_not_find_stands_for_no_candidate() -> None:
    many = [(np.array([3.0, 1.0]), np.array([0.0]), [True, False])] * 60
    assert set(compare(many, 0).positives.tolist()) == {2}  # the found one beside the other, never the reverse


def test_scores_that_tell_nothing_apart_are_refused() -> None:
    rng = np.random.default_rng(0)
    measured = Measured(rng.normal(size=400), rng.normal(size=400), 40, True)
    with pytest.raises(BadInput, match="even the lowest candidates"):
        choose(Measured(np.zeros(400), np.zeros(400), 40, True), 0.05)
    assert relevant_share(measured) > 0.8


@pytest.mark.parametrize("name", ["candidates", "positives"])
def test_too_few_scores_choose_nothing(name: str) -> None:
    counts = {"candidates": 100, "positives": 100, name: 29}
    measured = Measured(np.zeros(counts["candidates"]), np.zeros(counts["positives"]), 9, True)
    with pytest.raises(BadInput, match=f"at least 30 {name}; there are 29"):
        choose(measured, 0.05)
