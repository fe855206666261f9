"""Which cycle is kept, and which pairs are learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from retr.distill.trans.choosing import chosen_cycle
from retr.distill.trans.pairs import write_pairs as written
from retr.encoders.training.rows import RowsSettings
from retr.retrieval.errors import BadInput


def test_paper_takes_the_first_of_the_best_and_strict_the_last() -> None:
    assert chosen_cycle([0.5, 0.7, 0.7], "paper") == 2
    assert chosen_cycle([0.5, 0.7, 0.6], "strict") == 3
    assert chosen_cycle([None, None], "strict") == 2
    with pytest.raises(BadInput, match="every cycle"):
        chosen_cycle([0.5, None], "paper")


def test_pairs_are_written_once_in_an_order_of_their_own(write_pairs: Any, tmp_path: Path) -> None:
    pairs = [("a", "b"), ("b", "a"), ("a", "b"), ("c", "d"), ("e", "c")]
    files = write_pairs(pairs=pairs, labels=[0, 1, 2, 3, 4])
    held_out = write_pairs("held-out", [("d", "c")], [1])
    data, kept = RowsSettings(files, label="label"), RowsSettings(held_out, label="label")
    found = written(data, kept, tmp_path / "one", 3)
    assert (found.count, found.texts, found.left_out) == (3, 3, 1)
    lines = [json.loads(line) for line in Path(found.one.files).read_text().splitlines()]  # type: ignore[arg-type]
    assert {(line["query"], line["positive"]) for line in lines} == {("a", "b"), ("b", "a"), ("e", "c")}
    assert all(set(line) == {"query", "positive"} for line in lines)
    both = [json.loads(line) for line in Path(found.both.files).read_text().splitlines()]  # type: ignore[arg-type]
    assert [line["query"] for line in both[1::2]] == [line["positive"] for line in both[::2]]
    assert len(both) == 6
    other = write_pairs("other", pairs[::-1], [4, 3, 2, 1, 0])
    again = written(RowsSettings(other), kept, tmp_path / "two", 3)
    for name in ("pairs.jsonl", "both.jsonl", "texts.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (again.folder / name).read_bytes()
    with pytest.raises(BadInput, match="none is left"):
        written(kept, kept, tmp_path / "three", 0)
