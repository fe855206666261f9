"""The choice written into a collection, measured again there, and undone where the whole index misses the target."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.disk.lock import WriterLock
from retr.index.settings import CollectionSettings
from retr.index.tuning.applying import ServedCheck, apply
from retr.index.tuning.candidates import Candidate
from retr.index.tuning.points import Build, Point, Speed
from retr.index.tuning.running import Tuning, tune
from retr.index.tuning.sampling import Questions
from retr.index.tuning.settings import TuneSettings
from retr.retrieval.errors import RetrError
from retr.retrieval.records import Document

Make = Callable[..., Any]


@pytest.fixture
def collection(tmp_path: Path, make_collection: Make, make_vectors: Make) -> Collection:
    """1,500 vectors in tmp_path/index."""
    made = make_collection(tmp_path / "index", make_vectors(1_500))
    assert isinstance(made, Collection)
    return made


def claimed(candidate: Candidate, ms: float, recall: float) -> Point:
    """A point that says more than is true, and is faster than any real one: `ms` are thousandths of that."""
    ms /= 1000
    return Point(candidate, Build(0.0, 1, 1), Speed(ms, ms, ms, 1 / ms), np.full(9, recall), np.full(9, recall))


def with_points(tuning: Tuning, *points: Point, storages: tuple[str, ...] = ()) -> Tuning:
    settings: Any = replace(tuning.settings, storages=storages, kinds=("pq", "ivf-sq8", "flat"))
    return replace(tuning, settings=settings, points=(*points, tuning.exact))


def test_the_chosen_settings_are_written_and_searched_with(collection: Collection) -> None:
    tuning = tune(collection, TuneSettings(kinds=("ivf-sq8",), recall=0.8))
    chosen = tuning.choice.point.candidate
    assert chosen.kind == "ivf-sq8"
    applied = apply(collection, tuning)
    wanted = DenseSettings("ivf-sq8", recall=0.8, refine=chosen.refine, nprobe=chosen.nprobe)
    again = Collection.open(collection.folder, load=lambda spec: pytest.fail(spec))
    assert again.manifest.dense == collection.manifest.dense == wanted
    assert applied.settings["nprobe"] == chosen.nprobe
    [facts] = again.describe()["dense"]
    assert (facts["kind"], facts["refine"], facts["nprobe"]) == ("ivf-sq8", chosen.refine, chosen.nprobe)
    assert (applied.undone, applied.name) == ((), chosen.name)
    assert applied.generation == again.manifest.generation
    assert applied.before.recall == 1.0
    assert 0.8 <= applied.after.recall <= 1.0
    assert applied.after.queries == len(tuning.checking)


def test_what_is_measured_at_the_end_is_what_a_user_gets(collection: Collection, make_vectors: Make) -> None:
    """Brute force over whole documents, the query's own left out, says the same recall."""
    tuning = tune(collection, TuneSettings(kinds=("ivf-sq8",), recall=0.5, k=5))
    applied = apply(collection, tuning)
    values, found = make_vectors(1_500).astype(np.float64), []
    for query, own in zip(tuning.checking.values, tuning.checking.own, strict=True):
        scores = values @ query.astype(np.float64)
        scores[int(own[1:])] = -np.inf
        exact = {f"d{row}" for row in np.argsort(-scores)[:5]}
        near = [one.id for one in collection.nearest(query, 6)[0] if one.id != own][:5]
        found.append(len(exact & set(near)) / 5)
    assert applied.after.recall == pytest.approx(np.mean(found))
    assert np.mean(found) < 1.0


def test_the_rebuilt_index_holds_the_living_documents_alone(collection: Collection) -> None:
    collection.delete([f"d{row}" for row in range(200)])
    apply(collection, tune(collection, TuneSettings(kinds=("flat",))))
    assert (len(collection), collection.describe()["deleted"]) == (1_300, 0)


def test_a_setting_that_misses_on_the_whole_index_gives_way_to_the_next(collection: Collection) -> None:
    tuning = tune(collection, TuneSettings(kinds=("flat",), recall=0.98))
    wrong = claimed(Candidate("ivf-sq8", "float32", refine=1, nprobe=1), 0.1, 0.985)
    right = claimed(Candidate("pq", "float32", refine=24), 0.2, 0.99)
    told: list[str] = []
    applied = apply(collection, with_points(tuning, wrong, right), report=told.append)
    assert applied.undone == ("ivf-sq8, float32, refine 1, nprobe 1",)
    assert applied.name == "pq, float32, refine 24"
    assert applied.after.recall >= 0.98
    assert collection.manifest.dense.kind == "pq"
    assert any("below the target" in line for line in told)


def test_after_a_few_misses_every_vector_is_scored(collection: Collection) -> None:
    tuning = tune(collection, TuneSettings(kinds=("flat",), recall=0.999))
    lies = [
        claimed(Candidate("ivf-sq8", "float32", refine=1, nprobe=1), ms, 0.9990 + ms / 1e4) for ms in (1, 2, 3, 4, 5)
    ]
    applied = apply(collection, with_points(tuning, *lies))
    assert len(applied.undone) == 3
    assert applied.name == "flat, float32"
    assert applied.after.recall == 1.0


def test_an_undone_smaller_storage_costs_no_precision(collection: Collection, make_vectors: Make) -> None:
    tuning = tune(collection, TuneSettings(kinds=("flat",), recall=0.95))
    lie = claimed(Candidate("flat", "binary"), 0.1, 1.0)
    applied = apply(collection, with_points(tuning, lie, storages=("binary",)))
    assert applied.undone == ("flat, binary",)
    assert applied.name == "flat, float32"
    assert collection.snapshots() == []
    [near] = collection.nearest(make_vectors(1_500)[7], 1)
    assert (near[0].id, near[0].score) == ("d7", pytest.approx(1.0, abs=1e-6))
    names = [path.name for path in (collection.folder / "segments").iterdir()]
    assert names == [collection.manifest.segments[0].name]


def test_a_smaller_storage_that_holds_is_kept_and_its_originals_are_erased(collection: Collection) -> None:
    tuning = tune(collection, TuneSettings(kinds=("flat",), storages=("int8",), recall=0.9))
    collection.snapshot(f"tune-{collection.manifest.generation}")  # What a killed run leaves is no hindrance.
    applied = apply(collection, tuning)
    assert applied.name == "flat, int8"
    assert (collection.manifest.dense.storage, collection.snapshots()) == ("int8", [])
    assert 0.9 <= applied.after.recall < 1.0
    assert len(list((collection.folder / "segments").iterdir())) == 1


def test_a_cut_dimension_stays_cut(tmp_path: Path, encoder: Any) -> None:
    settings = CollectionSettings(dense=DenseSettings(dim=16))
    collection = Collection.create(tmp_path / "index", encoder=encoder, settings=settings)
    collection.add(Document(f"d{row}", f"word{row} other{row % 7}") for row in range(300))
    applied = apply(collection, tune(collection, TuneSettings(kinds=("flat",))))
    assert (collection.manifest.dense.dim, applied.before.recall, applied.after.recall) == (16, 1.0, 1.0)


def test_another_writer_is_told_of_and_nothing_changes(collection: Collection) -> None:
    tuning = tune(collection, TuneSettings(kinds=("flat",)))
    before = collection.manifest.generation
    with WriterLock(collection.folder), pytest.raises(RetrError):
        apply(collection, tuning, wait_seconds=0.0)
    collection.refresh()
    assert collection.manifest.generation == before


def test_ties_at_the_edge_count_as_found(tmp_path: Path, make_collection: Make) -> None:
    values = np.tile(np.eye(32, dtype=np.float32)[:4], (40, 1))
    collection = make_collection(tmp_path / "index", values)
    check = ServedCheck(collection, Questions(values[:4], ("d0", "d1", "d2", "d3")), 3)
    assert check.measure(collection).recall == 1.0
