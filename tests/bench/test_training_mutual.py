"""The parts of the MuTual bench that decide a number: which texts are trained on, which lists, which seeds count."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("torch", reason="the MuTual bench trains")


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield


def dialogue(number: int, **changes: Any) -> Any:
    from training_mutual_data import Dialogue

    whole = {"id": f"d{number}", "context": f"m : {number} a\nf : {number} b\nm : {number} c", "right": 1}
    return Dialogue(**{**whole, "candidates": tuple(f"f : {number} {text}" for text in "wxyz"), **changes})


def test_training_dialogues_that_begin_like_a_tested_one_are_left_out() -> None:
    from training_mutual_data import without_doubles

    longer = dialogue(2, context=dialogue(2).context + "\nf : on")
    other_end = dialogue(3, context="m : 3 a\nf : 3 other")
    assert without_doubles([dialogue(1), longer, other_end], [dialogue(2), dialogue(3)]) == [dialogue(1), other_end]


def test_a_training_dialogue_whose_right_reply_is_a_wrong_one_too_is_left_out() -> None:
    from training_mutual_data import without_doubles

    assert without_doubles([dialogue(1, candidates=("a", "b", "b", "c"))], []) == []
    assert without_doubles([dialogue(1, candidates=("a", "a", "b", "c"), right=2)], []) != []


def test_a_rate_is_judged_on_other_talks_than_it_is_tried_on() -> None:
    from training_mutual_data import parts

    every = [dialogue(number) for number in range(400)]
    later = [
        dialogue(number, id=f"later{number}", context=dialogue(number).context + "\nf : on") for number in range(400)
    ]
    tried, held_out = parts([*every, *later])
    assert 80 < len(tried) < 240 and 40 < len(held_out) < 120
    assert not {one.opening for one in tried} & {one.opening for one in held_out}
    assert len({one.opening for one in tried}) * 2 == len(tried)


def test_a_longer_list_begins_with_the_shorter_one_and_takes_nothing_of_its_own_talk() -> None:
    from training_mutual_data import with_others

    pool = [dialogue(number) for number in range(30)]
    same_talk = dialogue(0, id="later", candidates=("only", "of", "this", "talk"))
    ten = with_others(pool[:3], [*pool, same_talk], 10, 7)
    twenty = with_others(pool[:3], [*pool, same_talk], 20, 7)
    for own, short, long in zip(pool, ten, twenty, strict=False):
        assert short.candidates[:4] == own.candidates and long.candidates[:10] == short.candidates
        assert len(set(long.candidates)) == 20 and long.right == own.right
    assert not set(same_talk.candidates) & set(ten[0].candidates)
    assert with_others(pool[:3], pool, 10, 8) != with_others(pool[:3], pool, 10, 7)


def test_recipes_of_all_kinds_differ_in_student_and_rate_alone() -> None:
    from training_mutual_kinds import KINDS, Start, toml

    start = Start(Path("m"), 3, 16, "bfloat16")
    asked = {"seed": 2, "learning_rate": 1e-4, "steps": 300}
    tables = [start.tables(kind, Path("rows.jsonl"), Path("out"), asked) for kind in KINDS]
    assert all(tomllib.loads(toml(table)) == table for table in tables)
    for table in tables:
        for name in ("train", "data", "objective", "model"):
            assert table[name] == tables[0][name]
        assert {**table["backbone"], "max_tokens": 0} == {"layers": 3, "seed": 2, "max_tokens": 0}


def cell(kind: str, seed: int, right_first: bool) -> dict[str, Any]:
    def row(count: int) -> list[float]:
        return [2.0 if right_first else 0.0, *(1.0 for _ in range(count - 1))]

    scores = {str(count): {"a": row(count), "b": [3.0, *row(count)[1:]]} for count in (4, 10, 20)}
    return {"kind": kind, "seed": seed, "scores": scores}


def test_only_seeds_that_every_kind_has_count() -> None:
    from training_mutual_kinds import KINDS
    from training_mutual_values import measured

    cells = [cell(kind, 0, kind != "bi") for kind in KINDS] + [cell("bi", 1, True)]
    known = measured(cells, {"a": 0, "b": 0}, 7)
    assert list(known.seeds) == [0]
    assert known.figures["4"]["bi"]["r4@1"].mean == 0.5 and known.figures["20"]["cross"]["r20@1"].mean == 1.0
    assert known.figures["4"]["bi"]["mrr"].mean == (1 / 4 + 1) / 2
    assert known.pairs["r4@1", "cross", "bi"].difference == 0.5


def test_queries_are_averaged_over_seeds_and_the_spread_is_of_the_seeds() -> None:
    from training_mutual_kinds import KINDS
    from training_mutual_values import measured

    cells = [cell(kind, seed, seed == 1) for kind in KINDS for seed in (0, 1)]
    figure = measured(cells, {"a": 0, "b": 0}, 7).figures["4"]["uni-arrow"]["r4@1"]
    assert figure.mean == 0.75 and list(figure.seeds) == [0.5, 1.0]
    assert figure.spread == pytest.approx(0.125**0.5)


def test_without_a_seed_of_every_kind_nothing_is_recorded() -> None:
    from training_mutual_values import measured

    with pytest.raises(SystemExit, match="cross"):
        measured([cell("bi", 0, True)], {"a": 0, "b": 0}, 7)


def test_findings_are_of_every_kind_against_the_cross_encoder_and_name_seeds_with_their_spread_alone() -> None:
    from training_mutual_kinds import KINDS
    from training_mutual_tables import findings
    from training_mutual_values import measured

    one = list(findings(measured([cell(kind, 0, kind != "bi") for kind in KINDS], {"a": 0, "b": 0}, 7), 3))
    assert len(one) == len(KINDS) * 5 and not any("seeds" in row or "sd" in row for row in one)
    against = {row["model"]: row.get("against") for row in one if row["metric"] == "R@1"}
    bi, cross = (
        against["bi-encoder, first 3 layers of MiniLM-L6, trained here"],
        [row for row in against if "cross" in row],
    )
    assert bi["difference"] == -0.5 and bi["low"] <= -0.5 <= bi["high"] and against[cross[0]] is None
    several = measured([cell(kind, seed, seed == 1) for kind in KINDS for seed in (0, 1)], {"a": 0, "b": 0}, 7)
    assert all(row["seeds"] == 2 and row["sd"] > 0 for row in findings(several, 3) if row["metric"] == "R@1")


def test_a_longer_training_is_compared_over_the_seeds_it_has() -> None:
    from training_mutual_kinds import KINDS
    from training_mutual_longer import longer, longer_table

    cells = [cell(kind, seed, seed == 0) for kind in KINDS for seed in (0, 1)]
    more = [{**cell("cross", 0, False), "steps": 600, "cpu_seconds": 1.0}]
    found = {"cells": cells, "longer": more, "data": {"rights": {"a": 0, "b": 0}}}
    told = longer(found, 7)
    assert told is not None
    assert told["seeds"] == [0]
    gains = {(one["kind"], one["metric"]): one["difference"] for one in told["differences"]}
    assert set(gains) == {(kind, metric) for kind in KINDS for metric in ("R@1", "MRR")}
    assert gains["bi", "R@1"] == 1 - told["figures"]["R@1"]["mean"] > 0
    assert "600 steps, 1 seed " in longer_table(told).markdown()
    assert longer({**found, "longer": []}, 7) is None
