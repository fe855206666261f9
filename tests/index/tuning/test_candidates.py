"""What is measured: ladders that rise, and facts as the index itself would have written them."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from retr.index.dense.kinds import FAMILIES
from retr.index.dense.parts import write_part
from retr.index.dense.settings import DenseSettings, Kind
from retr.index.disk.fsio import Disk
from retr.index.tuning.candidates import REFINES, Candidate, ladders
from retr.index.tuning.settings import KINDS, TuneSettings
from retr.retrieval.errors import BadInput, NotFound, RetrError


def test_every_kind_but_auto_is_tried() -> None:
    assert {*KINDS, "auto"} == set(get_args(Kind))
    assert {"flat", *REFINES} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_effort_rises_along_and_between_ladders(kind: Kind) -> None:
    rungs = list(ladders(kind, "int8", rows=5_000, k=10))
    assert rungs
    widths = []
    for rung in rungs:
        refines = [candidate.refine or 0 for candidate in rung]
        assert refines == sorted(set(refines))
        widths.append({(candidate.nprobe or 0, candidate.ef or 0) for candidate in rung})
    assert all(len(width) == 1 for width in widths)
    flat = [width.pop() for width in widths]
    assert flat == sorted(set(flat))
    assert all(candidate.storage == "int8" for rung in rungs for candidate in rung)


def test_lists_are_searched_up_to_all() -> None:
    lists = FAMILIES["ivf-pq"].lists(5_000)
    nprobes = [rung[0].nprobe for rung in ladders("ivf-pq", "float32", rows=5_000, k=10)]
    assert lists > 4
    assert nprobes == [*(2**step for step in range(20) if 2**step < lists), lists]


def test_no_more_candidates_than_rows_are_asked_for() -> None:
    for kind in ("pq", "ivf-sq8", "hnsw"):
        for rung in ladders(kind, "float32", rows=1_200, k=100):
            for candidate in rung:
                assert (candidate.refine or 1) * 100 < 1_200
                assert (candidate.ef or 0) < 1_200
    assert list(ladders("pq", "float32", rows=1_200, k=1_200)) == []


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate("pq", "float32", refine=3),
        Candidate("ivf-pq", "float32", refine=8, nprobe=4),
        Candidate("ivf-sq8", "int8", refine=2, nprobe=16),
        Candidate("ivf-flat", "float16", refine=1, nprobe=2),
        Candidate("hnsw", "float32", ef=24),
        Candidate("hnsw", "float32", ef=384),
        Candidate("rabitq", "float32", refine=16),
        Candidate("flat", "binary"),
    ],
    ids=lambda candidate: candidate.name,
)
def test_facts_are_those_of_a_part_written_with_the_candidates_settings(candidate: Candidate, tmp_path: Path) -> None:
    """So what is measured by overwritten facts is what the collection will do once it is rebuilt."""
    vectors = np.random.default_rng(0).normal(size=(1_500, 32)).astype(np.float32)
    settings = candidate.settings(DenseSettings(), recall=0.9)
    _, wanted = write_part(Disk(), tmp_path, [vectors], 32, settings)
    (tmp_path / "other").mkdir()
    trial = DenseSettings(candidate.kind, candidate.storage, refine=1, nprobe=1, ef=16)
    _, built = write_part(Disk(), tmp_path / "other", [vectors], 32, trial)
    told = candidate.facts(built)
    measured = ("recall", "queries")
    for facts in (wanted, told):
        for name in measured:
            facts.pop(name, None)
            facts.get("deep", {}).pop(name, None)
    assert told == wanted


def test_settings_keep_the_dimension_and_forget_old_numbers() -> None:
    now = DenseSettings("hnsw", "float32", dim=16, recall=0.99, ef=77)
    wanted = DenseSettings("ivf-pq", "int8", dim=16, recall=0.9, refine=4, nprobe=8)
    assert Candidate("ivf-pq", "int8", refine=4, nprobe=8).settings(now, recall=0.9) == wanted


def test_effort_grows_from_a_sample_to_all_rows() -> None:
    whole = Candidate("pq", "float32", refine=4)
    assert whole.for_rows(10_000, sampled=10_000) == whole
    assert whole.for_rows(320_000, sampled=10_000).refine == 7  # 4 x 32^0.15 = 6.7
    ivf = Candidate("ivf-pq", "float32", refine=2, nprobe=10).for_rows(40_000, sampled=10_000)
    assert (ivf.refine, ivf.nprobe) == (3, 17)  # 2 x 4^0.15 = 2.5, 10 x 4^0.35 = 16.2
    assert Candidate("hnsw", "float32", ef=64).for_rows(1_024_000, sampled=1_000).ef == 512  # 64 x 2^3
    assert Candidate("flat", "float32").for_rows(40_000, sampled=10) == Candidate("flat", "float32")


def test_grown_effort_stays_below_what_there_is() -> None:
    lists = FAMILIES["ivf-pq"].lists(12_000)
    grown = Candidate("ivf-pq", "float32", refine=1_190, nprobe=lists - 1).for_rows(12_000, sampled=2_000)
    assert (grown.refine, grown.nprobe) == (1_200, lists)


@pytest.mark.parametrize(
    ("changes", "kind", "part"),
    [
        ({"recall": 0.0}, BadInput, "recall must be above 0 and at most 1, such as 0.95; got 0.0"),
        ({"recall": 1.01}, BadInput, "got 1.01"),
        ({"recall": float("nan")}, BadInput, "got nan"),
        ({"k": 0}, BadInput, "k must be a whole number"),
        ({"k": 1_001}, BadInput, "k must be at most 1000"),
        ({"kinds": ()}, BadInput, "No kinds to measure"),
        ({"kinds": ("pq", "hnws")}, NotFound, "Did you mean 'hnsw'?"),
        ({"kinds": ("auto",)}, NotFound, "No dense index kind to measure named 'auto'"),
        ({"storages": ("float8",)}, NotFound, "No vector storage named 'float8'"),
        ({"sample": 99}, BadInput, "sample must be a whole number of at least 100; got 99"),
        ({"queries": 19}, BadInput, "queries must be a whole number of at least 20"),
        ({"seed": -1}, BadInput, "seed must be a whole number of at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(changes: dict[str, object], kind: type[RetrError], part: str) -> None:
    with pytest.raises(kind) as caught:
        TuneSettings(**changes)  # type: ignore[arg-type]
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
