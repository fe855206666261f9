"""Segments are merged when they are many or half dead, lose nothing that lives, and wait for no one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from retr.index.collection import Collection
from retr.index.disk.checking import check_folder
from retr.index.disk.fsio import Disk
from retr.index.disk.manifest import Segment, placed
from retr.index.disk.segments import DOCUMENTS, OpenSegment
from retr.index.late.training import SCANNED
from retr.index.lexical.postings import passages_in
from retr.index.settings import WriteSettings
from retr.index.writing import merging
from retr.index.writing.merging import Job, Merged, MergeThread, Run, due, merge, swap
from retr.retrieval.records import Document

UNMERGED = WriteSettings(merge=False)


def segment(name: str, rows: int) -> Segment:
    return Segment(name, 0, rows, 0, rows, {})


def segments(*rows: int) -> tuple[Segment, ...]:
    return placed([segment(f"s{number}", size) for number, size in enumerate(rows)])


def living(*rows: int) -> np.ndarray:
    return np.zeros(sum(rows), np.bool_)


def test_token_vectors_weigh_so_that_no_codec_is_trained_within_a_commit() -> None:
    assert merging.weight(segment("s", 900)) == 900
    assert merging.weight(replace(segment("s", 900), late={"tokens": 20_000})) == 900
    assert merging.weight(replace(segment("s", 900), late={"tokens": 90_000})) == 2812
    assert merging.SMALL_ROWS * 32 <= SCANNED


def documents(start: int, end: int, word: str = "word") -> list[Document]:
    return [Document(f"d{n}", f"{word} number{n}", metadata={"n": n}) for n in range(start, end)]


@pytest.mark.parametrize(
    ("rows", "run"),
    [
        ([5] * 3, None),
        ([5] * 4, Run(0, 4)),
        ([1023] * 4, Run(0, 4)),
        ([5000, *[5] * 4], Run(1, 5)),
        ([5, 5, 5000, 5], None),
        ([5000] * 4, Run(0, 4)),
        ([5000, 5, 5000, 5000, 5, 5000, 5], Run(0, 7)),
        ([20_000, *[5000] * 3, 5], None),
        ([20_000, *[5000] * 4, 5], Run(1, 6)),
        ([20_000, 5000, 20_000, 5000, 5000], None),
        ([1_000_000, 5, 5, 5], None),
        ([1_000_000, 5, 5, 5, 5], Run(1, 5)),
        ([], None),
    ],
)
def test_four_neighbours_of_a_tier_are_due(rows: list[int], run: Run | None) -> None:
    assert due(segments(*rows), living(*rows)) == run


@pytest.mark.parametrize(
    ("before", "each", "adds", "most"),
    [(0, 1000, 400, 5 * 400_000), (1_000_000, 5, 400, 400 * 1024), (200_000, 3000, 200, 200_000 + 4 * 600_000)],
)
def test_a_row_is_written_few_times_and_segments_stay_few(before: int, each: int, adds: int, most: int) -> None:
    sizes, written = [before] if before else [], 0
    for _ in range(adds):
        sizes.append(each)
        while (run := due(segments(*sizes), living(0))) is not None:
            total = sum(sizes[run.start : run.end])
            sizes[run.start : run.end] = [total]
            written += total
        assert len(sizes) <= 20
    assert written <= most


@pytest.mark.parametrize(("dead", "expected"), [(999, None), (1000, Run(1, 2))])
def test_a_segment_with_many_dead_is_due_alone(dead: int, expected: Run | None) -> None:
    gone = living(500, 2000, 500)
    gone[500 : 500 + dead] = True
    assert due(segments(500, 2000, 500), gone) == expected


def test_a_thousand_dead_of_ten_thousand_are_not_enough() -> None:
    gone = living(10_000)
    gone[:2999] = True
    assert due(segments(10_000), gone) is None
    gone[:3000] = True
    assert due(segments(10_000), gone) == Run(0, 1)


def test_the_merged_segment_takes_its_sources_place() -> None:
    merged = Merged(("s1", "s2"), segment("new", 5), np.ones(7, np.bool_))
    run, after = swap(segments(10, 3, 4, 20), merged)
    assert run == Run(1, 3)
    assert [(one.name, one.first_document, one.first_row) for one in after] == [
        ("s0", 0, 0),
        ("new", 10, 10),
        ("s3", 15, 15),
    ]


def test_sources_that_are_all_dead_leave_nothing() -> None:
    _, after = swap(segments(10, 3, 20), Merged(("s1",), None, np.zeros(3, np.bool_)))
    assert [(one.name, one.first_document) for one in after] == [("s0", 0), ("s2", 10)]


def test_merging_keeps_living_documents_with_their_keys_and_vectors(collection: Collection, encoder: Any) -> None:
    for start in (0, 10, 20):
        collection.add(documents(start, start + 10), settings=UNMERGED)
    collection.delete([f"d{n}" for n in range(0, 30, 3)])
    snapshot = collection._snapshot
    merged = merge(Disk(), collection.folder, Job(snapshot.manifest, Run(1, 3), ~snapshot.live, "000099"))
    assert merged.segment is not None and merged.sources == ("000002", "000003")
    kept = [n for n in range(10, 30) if n % 3]
    assert merged.kept.tolist() == [n % 3 != 0 for n in range(10, 30)]
    opened = OpenSegment(collection.folder, merged.segment, encoder.dim)
    assert opened.ids.to_pylist() == [f"d{n}" for n in kept]
    assert opened.keys.tolist() == kept
    assert opened.document_of.tolist() == list(range(len(kept)))
    texts = [f"word number{n}" for n in kept]
    assert opened.dense is not None
    assert np.array_equal(opened.dense.vectors(np.arange(len(kept))), encoder.encode_queries(texts).values)
    assert pq.ParquetFile(opened.path / DOCUMENTS).num_row_groups == 1


def test_a_merge_of_dead_segments_writes_nothing(collection: Collection) -> None:
    collection.add(documents(0, 3))
    manifest = collection.manifest
    merged = merge(Disk(), collection.folder, Job(manifest, Run(0, 1), np.ones(3, np.bool_), "000099"))
    assert merged.segment is None
    assert not (collection.folder / "segments" / "000099").exists()


def test_many_small_adds_leave_few_segments(collection: Collection) -> None:
    for number in range(20):
        collection.add(documents(number, number + 1))
    assert len(collection.manifest.segments) <= 4
    assert collection.ids() == [f"d{n}" for n in range(20)]
    assert check_folder(collection.folder, load=None).problems == []


def test_without_merging_each_commit_keeps_its_segment(collection: Collection) -> None:
    for number in range(10):
        collection.add(documents(number, number + 1), settings=UNMERGED)
    assert len(collection.manifest.segments) == 10


class WhileMerging(Disk):
    """Does something once, from the merge's own thread, when the merged segment has been written."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def sync_folder(self, path: Path) -> None:
        import threading

        if threading.current_thread().name == "retr-merge" and self._act is not None:
            act, self._act = self._act, None
            act()
        super().sync_folder(path)


def test_what_is_replaced_while_merging_stays_replaced(
    tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merge copies the old version as living; the commits that come meanwhile have the last word."""
    monkeypatch.setattr("retr.index.writing.commits.SMALL_ROWS", 0)
    monkeypatch.setattr(merging, "FAN_OUT", 3)
    collection = Collection.create(tmp_path / "index", encoder=encoder)
    for start in (0, 10):
        collection.add(documents(start, start + 10), settings=UNMERGED)
    batch = [*documents(20, 22), *documents(5, 8, "changed"), *documents(12, 15, "changed")]
    collection.add(batch, settings=WriteSettings(commit_passages=2))
    assert len(collection) == 22
    assert {hit.id for hit in collection.search("changed", 30, mode="lexical")} == {
        "d5",
        "d6",
        "d7",
        "d12",
        "d13",
        "d14",
    }
    assert [d.text for d in collection.get(["d6", "d8"])] == ["changed number6", "word number8"]
    assert collection.search("changed number13", 1, mode="dense")[0].id == "d13"
    assert check_folder(collection.folder, load=None).problems == []


def test_readers_search_while_a_merge_is_under_way(
    tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.index.writing.commits.SMALL_ROWS", 0)
    seen: list[tuple[int, str]] = []

    def act() -> None:
        reader = Collection.open(tmp_path / "index", load=lambda _: encoder)
        seen.append((len(reader), reader.search("number3", 1, mode="lexical")[0].id))

    collection = Collection.create(tmp_path / "index", encoder=encoder, disk=WhileMerging(act))
    for number in range(4):
        collection.add(documents(number, number + 1))
    assert seen == [(4, "d3")]
    assert [part.documents for part in collection.manifest.segments] == [4]


class Full(Disk):
    """No room for a new folder of this kind once it is armed."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.armed = False

    def make_folder(self, path: Path) -> None:
        if self.armed and path.parent.name == self._kind:
            raise OSError(28, "No space left on device")
        super().make_folder(path)


def test_a_merge_without_room_is_a_problem_and_no_loss(
    tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.index.writing.commits.SMALL_ROWS", 0)
    monkeypatch.setattr(merging, "FAN_OUT", 3)
    disk = Full("segments")
    collection = Collection.create(tmp_path / "index", encoder=encoder, disk=disk)
    for start in (0, 10, 20):
        collection.add(documents(start, start + 10), settings=UNMERGED)
    disk.armed = True
    with pytest.warns(RuntimeWarning, match="could not be merged"):
        assert collection.delete(["d3"]) == 1
    assert collection.ids() == [f"d{n}" for n in range(30) if n != 3]
    assert len(collection.manifest.segments) == 3
    disk.armed = False
    collection.delete(["d4"])
    assert len(collection.manifest.segments) == 1
    assert check_folder(collection.folder, load=None).problems == []


def test_what_goes_wrong_in_a_merge_is_raised_by_its_result(tmp_path: Path, collection: Collection) -> None:
    collection.add(documents(0, 3))
    disk = Full("segments")
    disk.armed = True
    thread = MergeThread(disk, collection.folder, Job(collection.manifest, Run(0, 1), np.zeros(3, np.bool_), "000099"))
    with pytest.raises(OSError, match="No space"):
        thread.result()


def test_postings_are_made_anew_when_most_of_them_are_dead(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.index.writing.renewal.DEAD_PASSAGES", 10)
    collection.add(documents(0, 40))
    collection.delete([f"d{n}" for n in range(19)])
    assert passages_in(collection.folder / collection.manifest.lexical_folder) == (40, 19)
    before = [(hit.id, hit.score) for hit in collection.search("number30", 50, mode="lexical")]
    collection.delete(["d19"])
    assert passages_in(collection.folder / collection.manifest.lexical_folder) == (20, 0)
    after = [(hit.id, hit.score) for hit in collection.search("number30", 50, mode="lexical")]
    assert [id for id, _ in before] == [id for id, _ in after] == ["d30"]
    assert {hit.id for hit in collection.search("word", 50, mode="lexical")} == {f"d{n}" for n in range(20, 40)}
    assert check_folder(collection.folder, load=None).problems == []


def test_postings_without_room_stay_as_they_are(tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Full("lexical")
    collection = Collection.create(tmp_path / "index", encoder=encoder, disk=disk)
    collection.add(documents(0, 40))
    collection.delete([f"d{n}" for n in range(30)])
    monkeypatch.setattr("retr.index.writing.renewal.DEAD_PASSAGES", 10)
    original = disk.make_folder

    def second_time(path: Path) -> None:
        original(path)
        disk.armed = disk.armed or path.parent.name == "lexical"

    monkeypatch.setattr(disk, "make_folder", second_time)
    report = collection.add(documents(40, 41))
    assert report.problems == ["The postings could not be made anew ([Errno 28] No space left on device)."]
    assert report.generation == collection.manifest.generation
    assert len(collection) == 11
    assert check_folder(collection.folder, load=None).problems == []
    disk.armed = False
    monkeypatch.undo()
    monkeypatch.setattr("retr.index.writing.renewal.DEAD_PASSAGES", 10)
    assert collection.add(documents(41, 42)).problems == []
    assert passages_in(collection.folder / collection.manifest.lexical_folder) == (12, 0)
