"""Measured on a real, small collection: recalls against brute force, nothing left behind, nothing changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.tuning import measuring
from retr.index.tuning.candidates import Candidate
from retr.index.tuning.measuring import Trial, build_part
from retr.index.tuning.points import Point
from retr.index.tuning.running import Tuning, tune
from retr.index.tuning.sampling import Questions
from retr.index.tuning.settings import TuneSettings
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput, Mismatch

ROWS, DIM = 2_500, 32

Make = Callable[..., Any]


@pytest.fixture
def queries(make_vectors: Make) -> np.ndarray:
    return make_vectors(120, seed=9)


def opened(folder: Path) -> Collection:
    return Collection.open(folder, load=lambda spec: pytest.fail(spec))


def points_of(tuning: Tuning) -> dict[str, Point]:
    return {point.candidate.name: point for point in tuning.points}


def make_trial(folder: Path, values: np.ndarray, queries: np.ndarray, k: int) -> Trial:
    part, _, cost = build_part(folder / "exact", iter([values]), values.shape[1], DenseSettings("flat"))
    middle = len(queries) // 2
    halves = tuple(Questions(half, ("",) * len(half)) for half in (queries[:middle], queries[middle:]))
    return Trial(folder, part, cost, (halves[0], halves[1]), TuneSettings(k=k))


def test_recall_by_hand(tmp_path: Path) -> None:
    values = np.array([[1, 0], [0.9, 0], [0.9, 0], [0.5, 0], [0, 1], [0, 0.8]], np.float32)
    trial = make_trial(tmp_path, values, np.array([[1, 0], [0, 1]], np.float32), 2)
    assert trial.recalls(np.array([[0, 1], [4, 5]])).tolist() == [1.0, 1.0]
    assert trial.recalls(np.array([[0, 2], [5, 4]])).tolist() == [1.0, 1.0]  # row 2 is as good as row 1
    assert trial.recalls(np.array([[0, 3], [4, -1]])).tolist() == [0.5, 0.5]
    assert trial.recalls(np.array([[3, 4], [-1, -1]])).tolist() == [0.0, 0.0]


def test_fewer_rows_than_k_can_be_found_in_full(tmp_path: Path) -> None:
    trial = make_trial(tmp_path, np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), 5)
    assert trial.recalls(np.array([[0, 1, 2, -1, -1]] * 3)).tolist() == [1.0] * 3
    assert trial.recalls(np.array([[0, 1, -1, -1, -1]] * 3)) == pytest.approx([2 / 3] * 3)


def test_a_points_recall_is_that_of_brute_force(queries: np.ndarray, tmp_path: Path, make_vectors: Make) -> None:
    """The oracle searches the kind by itself and compares sets of rows with a sorted float64 product."""
    values, k = make_vectors(1_500), 7
    trial = make_trial(tmp_path, values, queries, k)
    settings = DenseSettings("ivf-pq", refine=1, nprobe=3)
    part, _, cost = build_part(tmp_path / "part", iter([values]), DIM, settings)
    measured = trial.measure(Candidate("ivf-pq", "float32", refine=1, nprobe=3), part, cost)
    exact = np.argsort(-(queries.astype(np.float64) @ values.astype(np.float64).T), axis=1)[:, :k]
    rows = part.search(queries, k).rows
    wanted = [len(set(one) & set(other)) / k for one, other in zip(exact.tolist(), rows.tolist(), strict=True)]
    assert np.concatenate([measured.choosing, measured.checking]).tolist() == pytest.approx(wanted)
    assert 0.2 < np.mean(wanted) < 1.0
    assert (len(measured.choosing), len(measured.checking)) == (60, 60)


def test_all_kinds_are_measured_and_nothing_is_left_or_changed(kept: Path, digest_of: Make) -> None:
    before, beside = digest_of(kept), sorted(kept.parent.iterdir())
    told: list[str] = []
    tuning = tune(opened(kept), TuneSettings(recall=0.9), report=told.append)
    assert digest_of(kept) == before
    assert sorted(kept.parent.iterdir()) == beside
    measured = {point.candidate.kind for point in tuning.points}
    assert measured | {line.split(",")[0] for line in tuning.skipped} == set(tuning.settings.kinds)
    assert {"flat", "pq", "ivf-pq"} <= measured
    assert points_of(tuning)["flat, float32"].recall == 1.0
    assert tuning.exact.held_out == 1.0
    assert tuning.choice.point.held_out >= 0.9
    assert (tuning.rows, tuning.sampled, tuning.choosing, len(tuning.checking)) == (ROWS, ROWS - 250, 125, 125)
    assert any(line.startswith("pq, float32: built in") for line in told)
    assert tuning.frontier[-1].recall == max(point.recall for point in tuning.points)


def test_more_effort_of_a_kind_never_finds_less(kept: Path) -> None:
    tuning = tune(opened(kept), TuneSettings(kinds=("pq",)))
    found = [point for point in tuning.points if point.candidate.kind == "pq"]
    assert [point.candidate.refine for point in found] == sorted(point.candidate.refine or 0 for point in found)
    assert [point.recall for point in found] == sorted(point.recall for point in found)
    assert found[0].recall < found[-1].recall


def test_recalls_repeat_with_the_seed(kept: Path) -> None:
    def recalls(seed: int) -> dict[str, tuple[float, float]]:
        tuning = tune(opened(kept), TuneSettings(kinds=("ivf-sq8", "flat"), seed=seed))
        return {name: (point.recall, point.held_out) for name, point in points_of(tuning).items()}

    assert recalls(1) == recalls(1)
    assert recalls(1) != recalls(2)


def test_given_queries_leave_every_vector_in_the_trial(queries: np.ndarray, kept: Path) -> None:
    tuning = tune(opened(kept), TuneSettings(kinds=("ivf-sq8",)), queries=Vectors(queries))
    assert (tuning.source, tuning.sampled, tuning.choosing, len(tuning.checking)) == ("given", ROWS, 60, 60)
    assert tuning.held == 0


def test_kinds_that_were_not_asked_for_are_not_chosen(kept: Path) -> None:
    tuning = tune(opened(kept), TuneSettings(kinds=("pq",), recall=0.5))
    assert {point.candidate.kind for point in tuning.candidates} == {"pq"}
    assert tuning.choice.point.candidate.kind == "pq"
    assert "flat, float32" in points_of(tuning)


def test_smaller_storages_are_measured_against_the_vectors_as_they_are(kept: Path) -> None:
    tuning = tune(opened(kept), TuneSettings(kinds=("flat",), storages=("float32", "float16", "int8", "binary")))
    recalls = {storage: points_of(tuning)[f"flat, {storage}"].recall for storage in tuning.settings.storages}
    assert recalls["float32"] == 1.0 >= recalls["float16"] >= recalls["int8"] > recalls["binary"]
    sizes = {storage: points_of(tuning)[f"flat, {storage}"].build.bytes for storage in tuning.settings.storages}
    assert sizes["float32"] > sizes["float16"] > sizes["int8"] > sizes["binary"]


def test_a_collection_of_int8_is_its_own_baseline(tmp_path: Path, make_collection: Make, make_vectors: Make) -> None:
    collection = make_collection(tmp_path / "index", make_vectors(400))
    collection.compact(dense=DenseSettings("flat", "int8"))
    tuning = tune(collection, TuneSettings(kinds=("flat",)))
    assert [point.candidate.name for point in tuning.points] == ["flat, int8"]
    assert tuning.exact.recall == tuning.exact.held_out == 1.0


def test_too_few_rows_leave_exact_search_and_the_reasons(
    tmp_path: Path, make_collection: Make, make_vectors: Make
) -> None:
    tuning = tune(make_collection(tmp_path / "index", make_vectors(200)), TuneSettings())
    assert [point.candidate.name for point in tuning.points] == ["flat, float32"]
    assert len(tuning.skipped) == len(tuning.settings.kinds) - 1
    assert "pq, float32: fewer than 1024 rows" in tuning.skipped
    assert not tuning.choice.fallback
    assert tuning.guarantee()["met"]


def test_a_full_disk_is_an_error_and_leaves_no_folder(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = sorted(kept.parent.iterdir())
    write_part, seen = measuring.write_part, []

    def fill(disk: object, folder: Path, *rest: Any, **named: Any) -> Any:
        done = write_part(disk, folder, *rest, **named)  # type: ignore[arg-type]
        seen.append(folder.name)
        if len(seen) == 2:
            raise OSError(28, "No space left on device")
        return done

    monkeypatch.setattr(measuring, "write_part", fill)
    with pytest.raises(OSError, match="No space left"):
        tune(opened(kept), TuneSettings(kinds=("ivf-sq8",)))
    assert seen == ["exact", "ivf-sq8-float32"]
    assert sorted(kept.parent.iterdir()) == beside


def test_only_one_kinds_files_lie_beside_the_exact_ones(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    build_one = measuring.build_part

    def build_and_look(folder: Path, *rest: object, **named: object) -> object:
        seen.append(sorted(path.name for path in folder.parent.iterdir()))
        return build_one(folder, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(measuring, "build_part", build_and_look)
    tune(opened(kept), TuneSettings(kinds=("rabitq", "ivf-flat", "ivf-sq8")))
    assert seen == [["exact"]] * 3


@pytest.mark.parametrize(
    ("queries", "kind", "part"),
    [
        (np.ones((30, DIM + 1), np.float32), Mismatch, "dim"),
        (np.full((30, DIM), np.nan, np.float32), BadInput, "NaN"),
        (np.ones((30, DIM), np.float32), BadInput, "There are 1 different queries"),
    ],
)
def test_queries_that_do_not_fit_are_one_line(
    kept: Path, queries: np.ndarray, kind: type[Exception], part: str
) -> None:
    with pytest.raises(kind, match=part) as caught:
        tune(opened(kept), TuneSettings(), queries=Vectors(queries))
    assert "\n" not in str(caught.value)
