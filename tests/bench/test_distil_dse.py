"""The parts of bench/distil_dse.py that decide what a figure means."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    import distil_dse_tables

    monkeypatch.setattr(distil_dse_tables, "DRAWS", 40)
    return distil_dse_tables


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    import distil_dse_cells

    return distil_dse_cells


def measured(what: str, seed: int, logits: list[list[float]]) -> dict[str, Any]:
    gold = [1.0, 1.0, 1.0, 0.0, 0.0]
    return {"task": "mrpc", "what": what, "seed": seed, "test": logits, "gold": gold, "rate": 1e-4, "cpu_seconds": 1.0}


def test_labels_are_grades_over_five_yes_or_no_and_classes(cells: Any) -> None:
    assert cells.label("stsb", {"score": "2.5"}) == 0.5
    assert cells.label("mrpc", {"label": "1"}) == 1.0
    assert [cells.label("sick", {"nli_label": name}) for name in cells.ENTAILMENT] == [0, 1, 2]


def test_training_pairs_that_are_tested_are_left_out(cells: Any, tmp_path: Path) -> None:
    (tmp_path / "mrpc").mkdir()
    head = "sentence1\tsentence2\tlabel\n"
    (tmp_path / "mrpc" / "train.tsv").write_text(head + "a\tb\t1\nc\td\t0\ne\tf\t1\n")
    (tmp_path / "mrpc" / "test.tsv").write_text(head + "d\tc\t0\n")
    bench = cells.Bench(tmp_path, tmp_path, tmp_path / "work")
    lines = bench.training("mrpc").paths[0].read_text().splitlines()
    assert len(lines) == 2
    assert '"c"' not in "".join(lines)


def test_the_share_kept_is_of_the_teachers_of_the_same_seeds(tables: Any) -> None:
    right, wrong = [[1.0], [1.0], [1.0], [-1.0], [-1.0]], [[1.0], [1.0], [-1.0], [-1.0], [-1.0]]
    found = {"cells": [measured("teacher", 0, right), measured("teacher", 1, wrong), measured("concat-0.5", 0, wrong)]}
    result = tables.result({**found, "times": None}, argparse.Namespace(precision="float32"))
    student = next(row for row in result["rows"] if row["what"] == "concat-0.5")
    told = student["metrics"]["accuracy x100"]
    assert told["values"] == [pytest.approx(80.0)]
    assert told["teachers"] == [pytest.approx(100.0)]
    assert told["kept"] == pytest.approx(0.8)
    assert told["most_frequent"] == pytest.approx(60.0)
    against = next(one for one in result["findings"] if one["system"] == "dse")["against"]
    assert against["difference"] == pytest.approx(-20.0)
    assert against["low"] <= -20 <= against["high"]


def test_f1_by_hand(tables: Any) -> None:
    logits, gold = np.array([[1.0], [1.0], [-1.0], [1.0]]), np.array([1, 1, 1, 0])
    assert tables.f1("mrpc", logits, gold) == pytest.approx(2 * 2 / (3 + 3))
