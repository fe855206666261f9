"""The recall that a part promises holds for queries that it has not seen."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.calibration import Calibration
from retr.index.dense.kinds import Effort
from retr.index.dense.parts import DensePart
from retr.index.dense.settings import DenseSettings

from .conftest import KINDS, Build, clustered, some, write

APPROXIMATE = [kind for kind in KINDS if kind != "flat"]


def recall(part: DensePart, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> float:
    found, exact = (part.search(queries, k, allowed, exact=exact).rows for exact in (False, True))
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(found, exact, strict=True)]))


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("kind", APPROXIMATE)
def test_unseen_queries_reach_the_target(parts: Build, kind: str, storage: str) -> None:
    part, unseen = parts(kind, storage), clustered(200, seed=11)
    assert part.search(unseen, 10).plan.effort is not None
    assert recall(part, unseen, 10) >= 0.98  # 2,000 neighbours at 0.99 leave a standard error of 0.002.


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_filtered_queries_reach_the_target(parts: Build, kind: str) -> None:
    allowed = some(3_000, 2_400)
    assert recall(parts(kind), clustered(200, seed=12), 10, allowed) >= 0.98


def test_a_lower_target_costs_less(tmp_path: Path) -> None:
    values = clustered(4_000, 48)
    low, high = (
        write(tmp_path / str(target), values, DenseSettings(kind="ivf-pq", recall=target)) for target in (0.8, 0.999)
    )
    assert 0.8 <= low["recall"] < 0.99 < high["recall"]
    assert (low["refine"], low["nprobe"]) < (high["refine"], high["nprobe"])


def test_given_numbers_are_kept(tmp_path: Path) -> None:
    facts = write(tmp_path / "a", clustered(), DenseSettings(kind="ivf-pq", nprobe=3, refine=7))
    assert (facts["nprobe"], facts["refine"], facts["deep"]["nprobe"], facts["deep"]["candidates"]) == (3, 7, 3, 700)
    assert facts["recall"] < 0.99
    facts = write(tmp_path / "b", clustered(), DenseSettings(kind="hnsw", ef=40))
    assert (facts["ef"], facts["deep"]["ef"]) == (40, 40)


def test_a_sampled_row_is_not_its_own_neighbour(tmp_path: Path) -> None:
    facts = write(tmp_path, clustered(), DenseSettings(kind="ivf-flat", nprobe=9_999, refine=1))
    assert facts["recall"] == facts["deep"]["recall"] == 1  # Ten candidates in all lists: the ten neighbours.


def test_a_target_out_of_reach_is_told_as_measured(tmp_path: Path) -> None:
    facts = write(tmp_path, clustered(), DenseSettings(kind="ivf-flat", nprobe=1, recall=1.0))
    assert facts["kind"] == "ivf-flat"
    assert facts["recall"] < 0.9


def test_effort_grows_by_the_power_law_through_both_depths() -> None:
    calibration = Calibration(Effort(40, 2), Effort(400, 8))
    assert calibration.at(1, 1.0, 9_999) == calibration.at(10, 1.0, 9_999) == Effort(40, 2)
    assert calibration.at(100, 1.0, 9_999) == Effort(400, 8)
    assert calibration.at(1_000, 1.0, 9_999) == Effort(4_000, 32)
    assert calibration.at(1_000, 1.0, 3_000) == Effort(3_000, 32)
    assert calibration.at(25, 1.0, 9_999) == Effort(100, 4)


def test_a_filter_reaches_deeper() -> None:
    calibration = Calibration(Effort(40, 2), Effort(400, 8))
    assert calibration.at(25, 0.1, 9_999) == Effort(400, 32)


def test_calibration_comes_back_from_its_facts() -> None:
    calibration = Calibration(Effort(40, 2), Effort(410, 8), 0.991, 0.992, 200)
    for graph in (False, True):
        again = Calibration.from_facts(calibration.facts(graph=graph))
        assert (again.shallow, again.deep) == (calibration.shallow, calibration.deep)
