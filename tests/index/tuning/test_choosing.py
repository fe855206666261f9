"""The choice, worked out by hand over points that were never measured."""

from collections.abc import Sequence

import numpy as np
import pytest

from retr.index.tuning.candidates import Candidate
from retr.index.tuning.choosing import choose, frontier, lower_bound
from retr.index.tuning.points import Build, Point, Speed


def point(ms: float, recall: float, held_out: float | None = None, *, size: int = 1) -> Point:
    """A point named by its time; every query has the same recall."""
    checking = recall if held_out is None else held_out
    speed = Speed(ms, ms, ms, 1000 / ms)
    candidate = Candidate("pq", "float32", refine=round(ms * 10))
    return Point(candidate, Build(1.0, size, size), speed, np.full(4, recall), np.full(4, checking))


EXACT = point(9.0, 1.0)


def times(points: Sequence[Point]) -> list[float]:
    return [one.speed.median_ms for one in points]


def test_the_fastest_that_meets_the_target_is_chosen() -> None:
    points = [EXACT, point(3.0, 0.99), point(1.0, 0.90), point(2.0, 0.96), point(2.5, 0.97)]
    choice = choose(points, EXACT, 0.95)
    assert times([choice.point]) == [2.0]
    assert (choice.rejected, choice.fallback) == ((), False)


def test_a_recall_of_just_the_target_meets_it() -> None:
    assert times([choose([point(1.0, 0.95), EXACT], EXACT, 0.95).point]) == [1.0]


def test_what_is_good_on_one_half_alone_is_not_chosen() -> None:
    """The guarantee can fail: 1.0 ms passes where it is chosen and not where it is checked."""
    lucky = point(1.0, 0.96, 0.94)
    slower_but_no_better = point(1.5, 0.96, 0.99)
    better = point(2.0, 0.97, 0.95)
    choice = choose([lucky, slower_but_no_better, better, EXACT], EXACT, 0.95)
    assert choice.point is better
    assert choice.rejected == (lucky,)
    assert not choice.fallback


def test_several_may_fail_the_check() -> None:
    points = [point(1.0, 0.96, 0.90), point(2.0, 0.97, 0.94), point(3.0, 0.98, 0.97), EXACT]
    choice = choose(points, EXACT, 0.95)
    assert (times([choice.point]), times(choice.rejected)) == ([3.0], [1.0, 2.0])


def test_good_only_where_it_is_checked_is_not_chosen_either() -> None:
    points = [point(1.0, 0.94, 1.0), point(2.0, 0.96)]
    assert times([choose(points, EXACT, 0.95).point]) == [2.0]


def test_where_none_passes_it_is_exact_search() -> None:
    points = [point(1.0, 0.96, 0.94), point(2.0, 0.90)]
    choice = choose(points, EXACT, 0.95)
    assert choice.point is EXACT
    assert choice.fallback
    assert times(choice.rejected) == [1.0]


def test_exact_search_that_is_among_the_points_and_fastest_is_no_fallback() -> None:
    choice = choose([point(12.0, 0.96), EXACT], EXACT, 0.95)
    assert (choice.point, choice.fallback) == (EXACT, False)


def test_above_leaves_out_what_was_already_undone() -> None:
    points = [point(1.0, 0.96), point(2.0, 0.97), point(3.0, 0.98)]
    assert times([choose(points, EXACT, 0.95, above=0.96).point]) == [2.0]
    assert choose(points, EXACT, 0.95, above=0.98).fallback


def test_of_two_as_fast_the_more_accurate_is_taken_and_then_the_smaller() -> None:
    assert choose([point(1.0, 0.96), point(1.0, 0.97)], EXACT, 0.95).point.recall == pytest.approx(0.97)
    small, large = point(1.0, 0.96, size=10), point(1.0, 0.96, size=20)
    assert choose([large, small], EXACT, 0.95).point is small


def test_the_frontier_by_hand() -> None:
    points = [point(1.0, 0.5), point(2.0, 0.9), point(2.0, 0.8), point(3.0, 0.9), point(4.0, 0.95), point(5.0, 0.7)]
    assert times(frontier(points)) == [1.0, 2.0, 4.0]


def test_no_point_of_the_frontier_is_beaten_and_every_other_is() -> None:
    rng = np.random.default_rng(0)
    points = [point(ms / 10, recall / 20) for ms, recall in rng.integers(1, 20, (80, 2)).tolist()]
    best = frontier(points)

    def beats(one: Point, other: Point) -> bool:
        faster, better = one.speed.median_ms <= other.speed.median_ms, one.recall >= other.recall
        equal = (one.speed.median_ms, one.recall) == (other.speed.median_ms, other.recall)
        return faster and better and not equal

    chosen = {(one.speed.median_ms, one.recall) for one in best}
    assert len(chosen) == len(best)
    for one in points:
        assert any(beats(other, one) for other in points) == ((one.speed.median_ms, one.recall) not in chosen)


def test_the_bound_of_equal_recalls_is_their_mean() -> None:
    assert lower_bound(np.full(50, 0.9)) == pytest.approx(0.9)


def test_the_bound_is_near_the_normal_one_and_repeats_with_its_seed() -> None:
    recalls = np.array([1.0] * 900 + [0.5] * 100)
    normal = recalls.mean() - 1.645 * recalls.std() / np.sqrt(len(recalls))
    assert lower_bound(recalls) == pytest.approx(normal, abs=0.001)
    assert lower_bound(recalls, seed=3) == lower_bound(recalls, seed=3)
    assert lower_bound(recalls, confidence=0.5) > lower_bound(recalls, confidence=0.95)


def test_fewer_queries_give_a_wider_bound() -> None:
    few, many = np.array([1.0, 0.5] * 10), np.array([1.0, 0.5] * 1000)
    assert lower_bound(few) < lower_bound(many) < 0.75
