"""Whole comparisons: who is held against whom, one correction over all, missing queries, gates, wins and losses."""

import math

import pytest

from retr.retrieval.errors import BadInput, Mismatch, NotFound, RetrError
from retr.retrieval.evaluation.significance import CompareSettings, Comparison, compare
from retr.retrieval.evaluation.significance.changes import Change, changes, largest
from retr.retrieval.evaluation.significance.gates import perhaps_worse, shown_worse

QUICK = CompareSettings(samples=1000)
IDS = [f"q{number}" for number in range(8)]


def values(*numbers: float, metric: str = "m") -> dict[str, dict[str, float]]:
    return {metric: dict(zip(IDS, numbers, strict=False))}


BASE = values(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
WORSE = values(0.4, 0.3, 0.4, 0.3, 0.4, 0.3, 0.4, 0.3)
MIXED = values(0.5, 0.5, 0.5, 0.5, 0.6, 0.7, 0.2, 0.4)


def test_a_pair_by_hand() -> None:
    comparison = compare({"base": BASE, "mixed": MIXED}, settings=QUICK)
    [pair] = comparison.pairs
    # Differences 0.1, 0.2, -0.3, -0.1 and four times 0: their sum is -0.1, and no sum is nearer to 0 but 0.1 itself is
    # reached by each odd pattern; of 16 sums, 0 never comes up: 14 of 16 differ from ±0.1 or equal it.
    sums = [abs(a * 1 + b * 2 + c * 3 + d * 1) for a in (1, -1) for b in (1, -1) for c in (1, -1) for d in (1, -1)]
    assert pair.p == pair.adjusted_p == sum(total >= 1 for total in sums) / 16
    assert pair.difference == pytest.approx(-0.1 / 8)
    assert (pair.wins, pair.ties, pair.losses) == (2, 4, 2)
    deviation = math.sqrt((0.01 + 0.04 + 0.09 + 0.01 - 8 * (0.1 / 8) ** 2) / 7)
    assert pair.effect == pytest.approx(-0.1 / 8 / deviation)
    assert pair.effect_low < pair.effect < pair.effect_high
    assert pair.low < pair.difference < pair.high
    assert comparison.means == {"m": {"base": 0.5, "mixed": pytest.approx(0.4875)}}
    assert comparison.queries == {"m": 8}


def test_two_systems_have_the_first_as_baseline() -> None:
    comparison = compare({"base": BASE, "mixed": MIXED}, settings=QUICK)
    assert (comparison.baseline, comparison.pairs[0].baseline, comparison.pairs[0].system) == ("base", "base", "mixed")


def test_more_systems_without_a_baseline_are_compared_each_with_each() -> None:
    comparison = compare({"a": BASE, "b": MIXED, "c": WORSE}, settings=QUICK)
    assert comparison.baseline is None
    assert [(pair.baseline, pair.system) for pair in comparison.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_a_baseline_is_held_against_every_other() -> None:
    comparison = compare({"a": BASE, "b": MIXED, "c": WORSE}, baseline="b", settings=QUICK)
    assert [(pair.baseline, pair.system) for pair in comparison.pairs] == [("b", "a"), ("b", "c")]


def test_holm_goes_over_all_systems_and_metrics() -> None:
    systems = {
        "base": {**BASE, **values(*[0.5] * 8, metric="n")},
        "worse": {**WORSE, **values(*[0.5] * 8, metric="n")},
        "mixed": {**MIXED, **values(*[0.5] * 8, metric="n")},
    }
    comparison = compare(systems, baseline="base", settings=QUICK)
    assert [(pair.metric, pair.system) for pair in comparison.pairs] == [
        ("m", "worse"),
        ("m", "mixed"),
        ("n", "worse"),
        ("n", "mixed"),
    ]
    assert [pair.p for pair in comparison.pairs] == [2 / 256, pytest.approx(14 / 16, abs=0.13), 1.0, 1.0]
    assert [pair.adjusted_p for pair in comparison.pairs] == [4 * 2 / 256, 1.0, 1.0, 1.0]
    assert [comparison.verdict(pair) for pair in comparison.pairs] == ["worse", "unclear", "unclear", "unclear"]


def test_identical_systems_differ_in_nothing() -> None:
    [pair] = compare({"a": MIXED, "b": dict(MIXED)}, settings=QUICK).pairs
    assert (pair.difference, pair.low, pair.high, pair.p, pair.adjusted_p) == (0.0, 0.0, 0.0, 1.0, 1.0)
    assert (pair.effect, pair.effect_low, pair.effect_high) == (0.0, 0.0, 0.0)
    assert (pair.wins, pair.ties, pair.losses) == (0, 8, 0)
    assert math.isnan(pair.detectable)


def test_a_difference_in_the_last_digit_alone_is_none() -> None:
    [pair] = compare({"a": values(0.3, 0.6), "b": values(0.1 + 0.2, 0.6)}, settings=QUICK).pairs
    assert (pair.difference, pair.ties) == (0.0, 2)


def test_the_queries_order_in_a_file_does_not_matter() -> None:
    turned = {"m": dict(reversed(MIXED["m"].items()))}
    assert compare({"a": BASE, "b": MIXED}, settings=QUICK) == compare({"a": BASE, "b": turned}, settings=QUICK)


def test_what_is_detectable_shrinks_with_queries_and_grows_with_comparisons() -> None:
    many = {
        name: {"m": {f"{qid}-{copy}": value for copy in range(9) for qid, value in one["m"].items()}}
        for name, one in (("a", BASE), ("b", MIXED), ("c", WORSE))
    }
    few_pairs = compare({name: many[name] for name in "ab"}, settings=QUICK).pairs[0].detectable
    more_pairs = compare(many, settings=QUICK).pairs[0].detectable
    assert few_pairs < compare({"a": BASE, "b": MIXED}, settings=QUICK).pairs[0].detectable
    assert few_pairs < more_pairs


@pytest.mark.parametrize(
    ("systems", "error", "said"),
    [
        ({"a": BASE}, BadInput, "two or more"),
        ({"a": BASE, "b": {}}, Mismatch, "'m' is in one of them alone"),
        ({"a": {}, "b": {}}, BadInput, "no metric"),
        ({"a": BASE, "b": values(0.1, 0.2)}, Mismatch, "6 have a value in one of them alone, such as 'q2'"),
        ({"a": values(0.1), "b": values(0.2)}, BadInput, "values of 1 query"),
        ({"a": values(0.1, 0.2), "b": values(0.1, math.nan)}, BadInput, "m of 'b' has no finite value for query 'q1'"),
    ],
)
def test_what_cannot_be_compared_is_said(
    systems: dict[str, dict[str, dict[str, float]]], error: type, said: str
) -> None:
    with pytest.raises(error, match=said):
        compare(systems, settings=QUICK)


def test_an_unknown_baseline_names_the_near_one() -> None:
    with pytest.raises(NotFound, match="Did you mean 'base'"):
        compare({"base": BASE, "mixed": MIXED}, baseline="bas", settings=QUICK)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"test": "wilcoxon"}, "No test named 'wilcoxon'"),
        ({"interval": "bcaa"}, "Did you mean 'bca'"),
        ({"alpha": 0.0}, "alpha must lie between 0 and 1"),
        ({"alpha": math.nan}, "alpha must lie"),
        ({"power": 1.0}, "power must lie"),
        ({"samples": 10}, "samples must be from 1,000"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], said: str) -> None:
    with pytest.raises(RetrError, match=said):
        CompareSettings(**settings)  # type: ignore[arg-type]


def compared(**systems: dict[str, dict[str, float]]) -> Comparison:
    return compare({"base": BASE, **systems}, baseline="base", settings=QUICK)


def test_the_plain_gate_stops_what_is_shown_to_be_worse() -> None:
    assert [pair.system for pair in shown_worse(compared(worse=WORSE, mixed=MIXED))] == ["worse"]
    better = {"m": {qid: 1 - value for qid, value in WORSE["m"].items()}}
    assert shown_worse(compared(better=better)) == []


def test_the_margin_gate_stops_what_may_be_worse_by_more() -> None:
    comparison = compared(worse=WORSE, mixed=MIXED)
    low = {pair.system: pair.low for pair in comparison.pairs}
    assert low["worse"] < -0.15
    assert [pair.system for pair in perhaps_worse(comparison, -low["worse"])] == []
    assert [pair.system for pair in perhaps_worse(comparison, -low["worse"] - 1e-9)] == ["worse"]
    assert len(perhaps_worse(comparison, 0.0)) == 2


def test_identical_systems_pass_every_gate() -> None:
    comparison = compared(same=dict(BASE))
    assert shown_worse(comparison) == perhaps_worse(comparison, 0.0) == []


def test_a_gate_needs_a_baseline() -> None:
    comparison = compare({"a": BASE, "b": MIXED, "c": WORSE}, settings=QUICK)
    with pytest.raises(BadInput, match="Worse than which"):
        shown_worse(comparison)
    with pytest.raises(BadInput, match="margin must be at least 0"):
        perhaps_worse(compared(mixed=MIXED), math.nan)


def test_changes_go_from_the_largest_loss_to_the_largest_win() -> None:
    systems = {"base": BASE, "mixed": MIXED}
    found = changes(systems, compare(systems, settings=QUICK).pairs[0])
    assert [change.query for change in found] == ["q6", "q7", "q0", "q1", "q2", "q3", "q4", "q5"]
    assert found[0] == Change("q6", 0.5, 0.2, pytest.approx(-0.3))
    losses, wins = largest(found, 1)
    assert [change.query for change in losses] == ["q6"]
    assert [change.query for change in wins] == ["q5"]
    assert [len(part) for part in largest(found, 99)] == [2, 2]
