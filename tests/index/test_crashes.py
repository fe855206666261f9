"""Stopped at any step of a write, the folder opens at its last commit; what was acknowledged is there, whole."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from retr.index.checking import check_folder
from retr.index.collection import Collection
from retr.index.fsio import Disk
from retr.index.settings import WriteSettings
from retr.retrieval.errors import Damaged, Mismatch, RetrError
from retr.retrieval.records import Document

EACH = WriteSettings(encode_passages=1, commit_passages=1)


class Stop(BaseException):
    """As if the process had been killed here."""


class StoppingDisk(Disk):
    """Counts the operations, and stops before the n-th."""

    OPERATIONS = ("make_folder", "write", "sync_file", "sync_folder", "rename", "link", "remove")

    def __init__(self, stop_at: int) -> None:
        self.count, self.stop_at = 0, stop_at

    def __getattribute__(self, name: str) -> Any:
        operation = super().__getattribute__(name)
        if name not in StoppingDisk.OPERATIONS:
            return operation

        def counted(*arguments: Any) -> None:
            self.count += 1
            if self.count >= self.stop_at:
                raise Stop
            if not name.startswith(
                "sync"
            ):  # The process dies here, not the machine: waiting for the disk tells nothing.
                operation(*arguments)

        return counted


def script(folder: Path, encoder: Any, disk: Disk, acknowledged: list[dict[str, str]]) -> None:
    """Four commits: two adds, an update, a delete. After each, what must be there from now on."""
    collection = Collection.open(folder, load=lambda _: encoder, disk=disk)
    state: dict[str, str] = {}
    for step in range(2):
        new = {f"d{step}{n}": f"text {step} {n}" for n in range(2)}
        collection.add([Document(id, text) for id, text in new.items()])
        acknowledged.append(state := {**state, **new})
    collection.add([Document("d00", "rewritten")])
    acknowledged.append(state := {**state, "d00": "rewritten"})
    collection.delete(["d11", "d00"])
    acknowledged.append({id: text for id, text in state.items() if id not in ("d11", "d00")})


def content(folder: Path, encoder: Any) -> dict[str, str]:
    collection = Collection.open(folder, load=lambda _: encoder)
    documents = collection.get(collection.ids())
    for document in documents:
        assert collection.search(document.text, k=1, mode="dense")[0].score == pytest.approx(1, abs=1e-3)
    return {document.id: document.text for document in documents}


def stopped(folder: Path, encoder: Any, disk: Disk, acknowledged: list[dict[str, str]]) -> bool:
    try:
        script(folder, encoder, disk, acknowledged)
    except Stop:
        return True
    return False


def test_stopped_at_every_step_it_opens_at_a_commit(tmp_path: Path, encoder: Any) -> None:
    Collection.create(tmp_path / "all", encoder=encoder)
    states: list[dict[str, str]] = [{}]
    script(tmp_path / "all", encoder, Disk(), states)
    step = 0
    while True:
        step += 1
        folder = tmp_path / f"i{step}"
        Collection.create(folder, encoder=encoder)
        acknowledged: list[dict[str, str]] = [{}]
        if not stopped(folder, encoder, StoppingDisk(step), acknowledged):
            break
        found = content(folder, encoder)
        # The commit under way may already be visible; nothing in between may be.
        assert found in (acknowledged[-1], states[len(acknowledged)]), step
        collection = Collection.open(folder, load=lambda _: encoder)
        collection.add([Document("after", "life goes on")])
        assert content(folder, encoder) == {**found, "after": "life goes on"}
        left = {path.name for path in (folder / "segments").iterdir()}
        assert left == {segment.name for segment in collection.manifest.segments}
    assert step > 60


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import WordEncoder
from retr.index.collection import Collection
from retr.index.settings import WriteSettings
from retr.retrieval.records import Document
collection = Collection.open(sys.argv[1], load=lambda _: WordEncoder())
for batch in range(10_000):
    collection.add([Document(f"b{batch}-{n}", f"batch {batch} text {n}") for n in range(3)])
    print(batch, flush=True)
"""


def test_killed_at_random_moments_nothing_acknowledged_is_lost(tmp_path: Path, encoder: Any) -> None:
    rng = random.Random(7)
    for round in range(6):
        folder = tmp_path / f"r{round}"
        Collection.create(folder, encoder=encoder)
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(folder), str(Path(__file__).parent)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "0\n"
        time.sleep(rng.random() * 0.4)
        writer.send_signal(signal.SIGKILL)
        acknowledged = [0, *(int(line) for line in writer.stdout.read().splitlines())]
        writer.stdout.close()
        writer.wait()
        found = content(folder, encoder)
        for batch in acknowledged:
            for n in range(3):
                assert found[f"b{batch}-{n}"] == f"batch {batch} text {n}"
        assert len(found) % 3 == 0
        assert check_folder(folder, load=None).problems == []


def filled(tmp_path: Path, encoder: Any) -> Collection:
    collection = Collection.create(tmp_path / "index", encoder=encoder)
    collection.add([Document(f"d{n}", f"some text {n}") for n in range(20)])
    collection.delete(["d3"])
    return collection


def test_a_flipped_bit_in_any_file_is_refused_by_name(tmp_path: Path, encoder: Any) -> None:
    collection = filled(tmp_path, encoder)
    rng = random.Random(3)
    names = [*collection.manifest.files(), collection.manifest.name, "CURRENT"]
    assert len(names) > 10
    for name in names:
        path = collection.folder / name
        data = path.read_bytes()
        if not data:
            continue
        place = rng.randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :])
        with pytest.raises(RetrError) as caught:
            Collection.open(collection.folder, load=lambda _: encoder)
        # A changed pointer may still look like one, and then names a manifest that is not there.
        names_it = path.name if name != "CURRENT" else "manifest" if "manifest" in str(caught.value) else "CURRENT"
        assert names_it in str(caught.value)
        path.write_bytes(data)
    assert len(Collection.open(collection.folder, load=lambda _: encoder)) == 19


def test_a_file_one_byte_short_is_refused_by_name(tmp_path: Path, encoder: Any) -> None:
    collection = filled(tmp_path, encoder)
    for name in collection.manifest.files():
        path = collection.folder / name
        data = path.read_bytes()
        if not data:
            continue
        path.write_bytes(data[:-1])
        with pytest.raises(Damaged, match=path.name):
            Collection.open(collection.folder, load=lambda _: encoder)
        path.write_bytes(data)


def test_a_missing_file_is_refused_by_name(tmp_path: Path, encoder: Any) -> None:
    collection = filled(tmp_path, encoder)
    name = next(iter(collection.manifest.segments[0].files))
    (collection.folder / "segments" / collection.manifest.segments[0].name / name).unlink()
    with pytest.raises(Damaged, match=name):
        Collection.open(collection.folder, load=lambda _: encoder)


def test_a_lost_pointer_is_damage_and_not_an_empty_index(tmp_path: Path, encoder: Any) -> None:
    collection = filled(tmp_path, encoder)
    (collection.folder / "CURRENT").unlink()
    with pytest.raises(Damaged, match="lost its CURRENT"):
        Collection.open(collection.folder, load=lambda _: encoder)
    with pytest.raises(RetrError):
        Collection.create(collection.folder, encoder=encoder)


class FullDisk(Disk):
    """Has room for a number of writes and links, then none."""

    def __init__(self, room: int) -> None:
        self.room = room

    def _take(self) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError(28, "No space left on device")

    def write(self, path: Path, data: bytes) -> None:
        self._take()
        super().write(path, data)

    def sync_file(self, path: Path) -> None:
        self._take()
        super().sync_file(path)


def test_on_a_full_disk_the_last_commit_still_answers(tmp_path: Path, encoder: Any) -> None:
    filled(tmp_path, encoder)
    folder = tmp_path / "index"
    for room in range(0, 14):
        full = Collection.open(folder, load=lambda _: encoder, disk=FullDisk(room))
        with pytest.raises(OSError, match="No space left"):
            full.add([Document("new", "does not fit")])
        assert len(content(folder, encoder)) == 19


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path: Path, encoder: Any) -> None:
    collection = filled(tmp_path, encoder)

    def stream() -> Any:
        yield Document("x", "first")
        with pytest.raises(Mismatch, match=rf'being written by another process .*"pid": {os.getpid()}'):
            Collection.open(collection.folder, load=lambda _: encoder).delete(["d1"])
        yield Document("y", "second")

    collection.add(stream())
    assert len(collection) == 21


def test_an_interrupted_add_goes_on_where_it_stopped(tmp_path: Path, encoder: Any) -> None:
    collection = Collection.create(tmp_path / "index", encoder=encoder)
    documents = [Document(f"d{n}", f"text number {n}") for n in range(30)]

    def interrupted() -> Any:
        yield from documents[:17]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collection.add(interrupted(), settings=EACH)
    collection.refresh()
    done = len(collection)
    assert 16 <= done <= 17
    encoder.encoded.clear()
    report = collection.add(documents)
    assert (report.unchanged, report.added, report.encoded) == (done, 30 - done, 30 - done)
    assert collection.ids() == [document.id for document in documents]
