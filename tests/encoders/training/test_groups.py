"""Rows of several data sets: batches of one group, instructions before queries, shares nearer to each other."""

import json
from pathlib import Path
from typing import Any

import pytest

from retr.encoders.training.rows import Rows, RowsSettings
from retr.retrieval.errors import BadInput

ROWS = [
    {"q": f"{group}{n}", "p": f"text {group}{n}", "set": group, "do": f"{group}: "}
    for group, count in (("a", 40), ("b", 10))
    for n in range(count)
]


@pytest.fixture
def open_rows(tmp_path: Path) -> Any:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def opened(**settings: Any) -> Rows:
        return Rows(RowsSettings(str(tmp_path / "rows.jsonl"), "q", "p", **settings), tmp_path / "work")

    return opened


def groups(rows: Rows, **more: Any) -> list[str]:
    """The groups of each batch."""
    return ["".join(sorted({query[0] for query in batch.queries})) for batch in rows.batches(4, seed=1, **more)]


def test_batches_are_of_one_group_and_what_is_left_over_is_mixed(open_rows: Any) -> None:
    found = groups(open_rows(group="set"))
    assert sorted(found) == ["a"] * 10 + ["b"] * 2
    assert found != sorted(found)
    assert "ab" in groups(open_rows())


def test_an_epoch_reads_every_row_once_but_for_those_that_fill_no_batch(open_rows: Any) -> None:
    rows = open_rows(group="set")
    seen = [query for batch in rows.batches(5, seed=1) for query in batch.queries]
    assert sorted(seen) == sorted(row["q"] for row in ROWS)
    assert sum(len(batch) for batch in rows.every(7)) == 50


def test_all_processes_of_a_step_read_of_one_group(open_rows: Any) -> None:
    rows = open_rows(group="set")
    halves = [[batch.queries[0][0] for batch in rows.batches(2, seed=1, share=(part, 2))] for part in (0, 1)]
    assert halves[0] == halves[1]


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, {"a": 40, "b": 10}), (2.0, {"a": 20, "b": 10})])
def test_temperature_brings_shares_nearer(open_rows: Any, temperature: float, expected: dict[str, int]) -> None:
    rows = open_rows(group="set", temperature=temperature)
    seen = [query for batch in rows.batches(5, seed=1) for query in batch.queries]
    assert {group: sum(query[0] == group for query in seen) for group in "ab"} == expected
    assert len(set(seen)) == len(seen)
    other = {query for batch in rows.batches(5, seed=1, epoch=1) for query in batch.queries}
    assert (other == set(seen)) == (temperature == 1)


def test_an_instruction_stands_before_its_query(open_rows: Any) -> None:
    batch = next(open_rows(instruction="do").batches(4, seed=1))
    assert all(query.startswith(("a: a", "b: b")) for query in batch.queries)


def test_the_group_does_not_change_what_a_row_is(open_rows: Any) -> None:
    plain = [batch.queries for batch in open_rows().every(50)]
    assert [batch.queries for batch in open_rows(group="set").every(50)] == plain


def test_a_temperature_without_groups_is_refused() -> None:
    with pytest.raises(BadInput, match="temperature is of groups"):
        RowsSettings("a.jsonl", temperature=2.0)
    with pytest.raises(BadInput, match=r"temperature is 0\.5"):
        RowsSettings("a.jsonl", group="set", temperature=0.5)
