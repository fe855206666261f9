"""On a full disk the last commit still answers, and once there is room the same call succeeds."""

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.disk.checking import check_folder
from retr.index.disk.fsio import Disk
from retr.index.disk.manifest import read_current
from retr.index.lexical import postings as lexical
from retr.index.settings import WriteSettings
from retr.index.writing import commits
from retr.retrieval.records import Document

BLOCK = 4096
ROOM = 4 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system of a set size cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def leave(small: Path, blocks: int | None) -> None:
    """Fill the file system up to so many free blocks; None empties it again."""
    filler = small / "filler"
    filler.unlink(missing_ok=True)
    if blocks is not None:
        filler.write_bytes(b"x" * BLOCK * max(0, os.statvfs(small).f_bavail - blocks))


class FullDisk(Disk):
    """Has room for a number of writes and syncs, then none; unless something has been removed since."""

    def __init__(self, room: int) -> None:
        self.room, self.failures = room, 0

    def _take(self) -> None:
        self.room -= 1
        if self.room < 0:
            self.failures += 1
            raise OSError(errno.ENOSPC, "No space left on device")

    def make_folder(self, path: Path) -> None:
        self._take()
        super().make_folder(path)

    def write(self, path: Path, data: bytes) -> None:
        self._take()
        super().write(path, data)

    def link(self, source: Path, target: Path) -> None:
        self._take()
        super().link(source, target)

    def sync_file(self, path: Path) -> None:
        self._take()
        super().sync_file(path)

    def sync_folder(self, path: Path) -> None:
        """Needs no room."""


def texts(folder: Path, encoder: Any) -> dict[str, str]:
    collection = Collection.open(folder, load=lambda _: encoder)
    return {document.id: document.text for document in collection.get(collection.ids())}


LONG = " and more of the same" * 40
CALLS: dict[str, Callable[[Collection], Any]] = {
    "add": lambda collection: collection.add([Document(f"new{n}", f"new {n}{LONG}") for n in range(5)]),
    "update": lambda collection: collection.add([Document("d1", f"another text{LONG}")]),
    "delete": lambda collection: collection.delete(["d4", "d5"]),
    "compact": lambda collection: collection.compact(),
    "snapshot": lambda collection: collection.snapshot("name"),
    "rollback": lambda collection: collection.rollback(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_does_not_fit_changes_nothing_and_succeeds_once_it_does(
    call: str, small: Path, filled: Collection, encoder: Any
) -> None:
    folder = small / "index"
    filled.copy(folder)
    Collection.open(folder, load=lambda _: encoder).delete(["d7"])
    before, failures = texts(folder, encoder), 0
    assert len(before) == 18
    for blocks in range(80):
        collection = Collection.open(folder, load=lambda _: encoder)
        leave(small, blocks)
        try:
            CALLS[call](collection)
        except OSError as error:
            assert error.errno == errno.ENOSPC
        else:
            break
        failures += 1
        assert texts(folder, encoder) == before
        assert collection.search("red fish", 3)[0].id in before
        assert check_folder(folder, load=None).problems == []
    else:
        raise AssertionError("never fitted")
    assert failures >= (2 if call in ("snapshot", "rollback") else 4)
    whole = Collection.open(filled.folder, load=lambda _: encoder)
    whole.delete(["d7"])
    CALLS[call](whole)
    assert texts(folder, encoder) == texts(filled.folder, encoder)
    leave(small, None)
    assert check_folder(folder, load=None).problems == []


@pytest.mark.parametrize("call", CALLS)
def test_the_disk_is_full_at_any_operation(call: str, filled: Collection, encoder: Any) -> None:
    before = texts(filled.folder, encoder)
    for room in range(100):
        disk = FullDisk(room)
        collection = Collection.open(filled.folder, load=lambda _: encoder, disk=disk)
        try:
            CALLS[call](collection)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            assert texts(filled.folder, encoder) == before
            assert check_folder(filled.folder, load=None).problems == []
        else:
            assert not disk.failures
            return
    raise AssertionError("never fitted")


def test_postings_that_overflow_the_disk_from_a_thread_of_tantivy_are_a_full_disk(
    small: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = Collection.create(small / "index", encoder=None)
    collection.add([Document("first", "some text")])
    monkeypatch.setattr(lexical, "_HEAP_BYTES", 15_000_000)
    rng = random.Random(1)
    leave(small, 900)
    texts = (" ".join(f"{rng.randrange(1 << 24):x}" for _ in range(300)) for _ in range(1200))
    with pytest.raises(OSError, match="No space left") as caught:
        collection.add((Document(f"d{n}", text) for n, text in enumerate(texts)), settings=WriteSettings(merge=False))
    assert caught.value.errno == errno.ENOSPC
    assert len(Collection.open(collection.folder, load=lambda _: encoder)) == 1
    leave(small, None)
    assert collection.add([Document("second", "other text")]).added == 1


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("size", [1, 3], ids=["small", "large"])
def test_a_merge_that_does_not_fit_loses_nothing_and_is_made_later(
    size: int, quick: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = Collection.create(quick / "index", encoder=encoder)

    def add(step: int) -> list[str]:
        report = collection.add([Document(f"d{step}{n}", f"text {step} {n}") for n in range(size)])
        assert report.added == size
        assert read_current(collection.folder).generation == report.generation == collection.manifest.generation
        assert len(collection) == (step + 1) * size
        assert check_folder(collection.folder, load=None).problems == []
        return report.problems

    real = Disk.write

    def write(disk: Disk, path: Path, data: bytes) -> None:
        if path.parent.name == "000004" and path.name == "dense.npy":  # The merge's; the documents are in the others.
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(disk, path, data)

    assert add(0) == add(1) == []
    with monkeypatch.context() as patch:
        patch.setattr(Disk, "write", write)
        # A large one is tried beside the writer as soon as it is due, a small one within the next commit.
        if size == 1:
            assert add(2) == []
        [problem] = add(3 if size == 1 else 2)
        assert "could not be merged" in problem and "No space left" in problem
    before = len(collection.manifest.segments)
    assert before >= 3
    assert add(4 if size == 1 else 3) == []
    assert len(collection.manifest.segments) < before
    assert not [path.name for path in (collection.folder / "segments").iterdir() if not any(path.iterdir())]


@pytest.mark.usefixtures("eager")
def test_a_merge_that_is_made_but_cannot_be_committed_is_a_problem_and_no_error(
    quick: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "SMALL_ROWS", 0)  # Every merge is made beside the writer, and committed by itself.
    collection = Collection.create(quick / "index", encoder=encoder)
    for step in range(2):
        collection.add([Document(f"d{step}", f"text {step}")])
    real = Disk.write

    def write(disk: Disk, path: Path, data: bytes) -> None:
        if path.name == "manifest-000005.json":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(disk, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "write", write)
        report = collection.add([Document("d2", "text 2")])
    assert "could not be merged" in report.problems[0]
    assert report.generation == collection.manifest.generation == 4
    assert collection.ids() == ["d0", "d1", "d2"] and len(collection.manifest.segments) == 3
    assert collection.add([Document("d3", "text 3")]).problems == []
    assert len(collection.manifest.segments) < 3
    assert check_folder(collection.folder, load=None).problems == []


@pytest.mark.usefixtures("eager")
def test_a_merge_that_a_deletion_sets_off_and_that_does_not_fit_is_a_warning(
    quick: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = Collection.create(quick / "index", encoder=encoder)
    settings = WriteSettings(merge=False)
    for step in range(4):
        collection.add([Document(f"d{step}", f"text {step}")], settings=settings)
    real = Disk.write

    def write(disk: Disk, path: Path, data: bytes) -> None:
        if path.name == "dense.npy":  # Only a merge writes vectors here.
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(disk, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "write", write)
        with pytest.warns(RuntimeWarning, match="could not be merged"):
            assert collection.delete(["d0"]) == 1
    assert collection.ids() == ["d1", "d2", "d3"]
    assert check_folder(collection.folder, load=None).problems == []
