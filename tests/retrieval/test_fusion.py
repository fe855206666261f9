"""Fusion of three tiny lists against answers worked out by hand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.fusion import METHODS, Fused, Part, RankedLists, reciprocal_rank_fusion, weighted_sum

RUNS: RankedLists = {
    "dense": [("a", 0.9), ("b", 0.8), ("c", 0.1)],
    "lexical": [("c", 12.0), ("a", 6.0)],
    "late": [("d", 3.0)],
}


def scores(fused: list[Fused]) -> dict[object, float]:
    return {item.id: item.score for item in fused}


def test_reciprocal_ranks_are_summed() -> None:
    fused = reciprocal_rank_fusion(RUNS)
    assert [item.id for item in fused] == ["a", "c", "d", "b"]
    assert scores(fused) == pytest.approx({"a": 1 / 61 + 1 / 62, "c": 1 / 63 + 1 / 61, "d": 1 / 61, "b": 1 / 62})


def test_the_constant_and_the_weights_count() -> None:
    fused = reciprocal_rank_fusion(RUNS, constant=1, weights={"lexical": 3.0})
    assert scores(fused) == pytest.approx({"c": 1 / 4 + 3 / 2, "a": 1 / 2 + 3 / 3, "d": 1 / 2, "b": 1 / 3})


def test_scores_between_0_and_1_are_summed() -> None:
    fused = weighted_sum(RUNS, weights={"dense": 0.5, "lexical": 2.0})
    # dense: a 1, b 7/8, c 0; lexical: c 1, a 0; late: one item alone has 1.
    assert scores(fused) == pytest.approx({"c": 2.0, "d": 1.0, "a": 0.5, "b": 0.5 * 7 / 8})
    assert [item.id for item in fused] == ["c", "d", "a", "b"]


def test_standard_deviations_above_the_lowest_are_summed() -> None:
    fused = weighted_sum({"x": [("a", 4.0), ("b", 2.0), ("c", 0.0)], "y": [("c", 5.0), ("b", 1.0)]}, normalise="zscore")
    # x has deviation (8/3)^0.5, y has 2.
    assert scores(fused) == pytest.approx({"a": 4 / (8 / 3) ** 0.5, "b": 2 / (8 / 3) ** 0.5, "c": 2.0})


def test_every_part_of_a_score_is_told() -> None:
    item = reciprocal_rank_fusion(RUNS, weights={"dense": 2.0})[0]
    assert item.parts == (Part("dense", 1, 0.9, 2 / 61), Part("lexical", 2, 6.0, 1 / 62))
    assert item.score == pytest.approx(sum(part.contribution for part in item.parts))


def test_a_tie_goes_to_the_better_best_rank_then_to_the_smaller_id() -> None:
    # By rank 7 and 9 have 1 + 1/3, and 5 has 1/2 + 1/2; by score all three have 1, and 5 was never first.
    runs = {"x": [(7, 1.0), (5, 0.5), (9, 0.0)], "y": [(9, 1.0), (5, 0.5), (7, 0.0)]}
    assert [item.id for item in reciprocal_rank_fusion(runs, constant=0)] == [7, 9, 5]
    assert [item.id for item in weighted_sum(runs)] == [7, 9, 5]


def test_a_list_of_weight_zero_is_left_out() -> None:
    for method in METHODS.values():
        fused = method(RUNS, weights={"lexical": 0.0, "late": 0.0})
        assert [item.id for item in fused] == ["a", "b", "c"]


def test_equal_scores_count_as_the_best() -> None:
    assert scores(weighted_sum({"x": [("a", 2.0), ("b", 2.0)]})) == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_made_of_nothing(method: str) -> None:
    assert METHODS[method]({}) == []
    assert METHODS[method]({"x": []}) == []


@pytest.mark.parametrize("method", METHODS)
def test_one_list_alone_keeps_its_order(method: str) -> None:
    assert [item.id for item in METHODS[method]({"x": [(3, 9.0), (1, 8.0), (2, 1.0)]})] == [3, 1, 2]


@given(st.lists(st.permutations(list("abcde")), min_size=2, max_size=4))
def test_the_order_of_the_lists_does_not_matter(rankings: list[list[str]]) -> None:
    runs = {str(name): [(id, -float(place)) for place, id in enumerate(each)] for name, each in enumerate(rankings)}
    for method in METHODS.values():
        expected = [(item.id, item.score) for item in method(runs)]
        for names in itertools.permutations(runs):
            assert [(item.id, item.score) for item in method({name: runs[name] for name in names})] == expected


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_bad_weight_is_refused(weight: float) -> None:
    with pytest.raises(BadInput, match="weight of 'dense'"):
        reciprocal_rank_fusion(RUNS, weights={"dense": weight})


def test_a_weight_for_no_list_is_refused() -> None:
    with pytest.raises(NotFound, match="Did you mean 'dense'"):
        weighted_sum(RUNS, weights={"dens": 1.0})


def test_a_bad_constant_is_refused() -> None:
    with pytest.raises(BadInput, match="constant"):
        reciprocal_rank_fusion(RUNS, constant=-1)


def test_an_id_twice_in_a_list_is_refused() -> None:
    with pytest.raises(BadInput, match="'x' holds an id twice"):
        reciprocal_rank_fusion({"x": [("a", 1.0), ("a", 0.5)]})


def test_a_score_of_nan_is_refused() -> None:
    with pytest.raises(BadInput, match="NaN or infinite"):
        weighted_sum({"x": [("a", float("nan"))]})


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(NotFound, match="Did you mean 'minmax'"):
        weighted_sum(RUNS, normalise="minimax")
