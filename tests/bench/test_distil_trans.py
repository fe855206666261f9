"""The parts of bench/distil_trans.py that decide what a figure means."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")

BENCH = Path(__file__).parents[2] / "bench"
HEAD = "sentence1\tsentence2\tscore\n"
RISING, ONE_OFF, TWO_OFF = [0.1, 0.2, 0.3, 0.4, 0.5], [0.2, 0.1, 0.3, 0.4, 0.5], [0.2, 0.1, 0.3, 0.5, 0.4]
THREE_OFF = [0.3, 0.1, 0.2, 0.4, 0.5]  # d = 2, 1, 1, 0, 0: rho = 1 - 6 * 6 / 120


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    import distil_trans_cells

    return distil_trans_cells


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    import distil_trans_tables

    monkeypatch.setattr(distil_trans_tables, "DRAWS", 20)
    return distil_trans_tables


@pytest.fixture
def bench(cells: Any, tmp_path: Path) -> Any:
    """Five pairs a set, of rising grades; a pair of a test split stands in training too, in the other order."""
    for name in (*cells.TRAINS, *cells.DEVS, *cells.TESTS.values()):
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD + "".join(f"{name} {at}\tother {at}\t{at}\n" for at in range(5)))
    train = tmp_path / "stsb" / "train.tsv"
    train.write_text(train.read_text() + "other 1\tstsb/test 1\t3\n")
    return cells.Bench(tmp_path, tmp_path, tmp_path / "work", 1000)


def measured(bench: Any, mode: str, way: str, seed: int, kinds: dict[str, list[float]]) -> dict[str, Any]:
    titles = list(bench.tests)
    says = {kind: dict.fromkeys(titles[:1] if kind == "cross" else titles, said) for kind, said in kinds.items()}
    return {"mode": mode, "way": way, "seed": seed, "pairs": 10, "says": says}


def test_strict_pairs_stand_in_no_test_and_paper_pairs_anywhere(bench: Any) -> None:
    strict, count = bench.rows("strict")
    assert count == 15
    assert "stsb/test" not in strict.read_text()
    paper, more = bench.rows("paper")
    assert more == 5 * 10 + 1
    assert set(json.loads(paper.read_text().splitlines()[0])) == {"query", "positive"}
    assert bench.graded("stsb/dev")[-1][2] == 0.8


def test_a_model_is_held_against_the_starts_of_its_own_seeds(bench: Any, tables: Any) -> None:
    found = [
        measured(bench, "start", "2", 0, {"bi": TWO_OFF}), measured(bench, "start", "2", 1, {"bi": RISING}),
        measured(bench, "strict", "self", 0, {"bi": ONE_OFF, "cross": RISING}),
    ]  # fmt: skip
    found[2]["says"]["bi"] |= {"SICK test": THREE_OFF, "STS benchmark test": ONE_OFF}
    result = tables.result(bench, found, argparse.Namespace(precision="float32"))
    first = result["findings"][0]
    assert (first["system"], first["data"]) == ("trans-self", "STS benchmark test")
    # Two neighbours changed places: rho = 1 - 6 * 2 / (5 * 24) = 0.9; two pairs of them: 0.8.
    assert first["mean"] == pytest.approx(90)
    assert first["against"]["difference"] == pytest.approx(10)
    assert "sd" not in first
    means = next(one for one in result["findings"] if one["data"] == tables.MEAN)
    assert means["mean"] == pytest.approx((90 + 90 + 90 + 70) / 4)
    assert [one["data"] for one in result["findings"] if "cross" in one["model"]] == ["STS benchmark test"]
    starts = [one for one in result["findings"] if one["model"].startswith("start")]
    assert starts[0]["mean"] == pytest.approx(90)
    assert starts[0]["seeds"] == 2
    assert "The goal of +1.0 on STS-B's test and on the mean of the others is met in strict." in result["caption"]
    assert tables.stages(bench, found) == {
        "self, strict": {"start": [pytest.approx(80)], "cross": [pytest.approx(100)], "bi": [pytest.approx(90)]}
    }


def test_mutual_is_judged_beside_self(bench: Any, tables: Any) -> None:
    found = [measured(bench, "start", "2", 0, {"bi": ONE_OFF})]
    found += [measured(bench, "paper", way, 0, {"bi": TWO_OFF}) for way in ("self", "mutual")]
    caption = tables.result(bench, found, argparse.Namespace(precision="float32"))["caption"]
    assert "is not met in paper; mutual is within 0.3 of self on the mean in paper." in caption
