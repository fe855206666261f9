"""One writer at a time, readers at any time: in threads and in processes, nobody sees what another has half done."""

import errno
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from retr.index import collection as collections
from retr.index import reading
from retr.index.collection import Collection
from retr.index.disk import checking, fsio, history, manifest
from retr.index.disk.checking import check_folder
from retr.index.disk.fsio import Disk
from retr.index.settings import WriteSettings
from retr.retrieval.errors import Damaged, Mismatch
from retr.retrieval.records import Document

PATIENT = WriteSettings(wait_seconds=120)
HOLDER = """
def stream():
    yield Document("held", "red")
    print("holding", flush=True)
    sys.stdin.readline()

collection.add(stream())
print("done", flush=True)
"""


Open = Callable[[], Collection]
Python = Callable[[str, Path], Any]


def test_a_second_writer_in_a_thread_or_the_same_process_is_told_who_holds_the_lock(
    filled: Collection, again: Open
) -> None:
    def refused() -> None:
        with pytest.raises(Mismatch, match=rf'being written by another process .*"pid": {os.getpid()}'):
            again().delete(["d1"])

    def stream() -> Any:
        yield Document("x", "first")
        refused()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(refused).result()
        yield Document("y", "second")

    filled.add(stream())
    assert len(filled) == 21


def test_a_second_writer_process_gives_up_by_name_or_waits(filled: Collection, python: Python) -> None:
    with python(HOLDER, filled.folder) as holder:
        assert holder.hear() == "holding"
        for wait in (0.0, 0.05):
            for write in (
                lambda: filled.add([Document("x", "blue")], settings=WriteSettings(wait_seconds=wait)),  # noqa: B023
                lambda: filled.delete(["d1"], wait_seconds=wait),  # noqa: B023
                lambda: filled.compact(wait_seconds=wait),  # noqa: B023
                lambda: filled.snapshot("name", wait_seconds=wait),  # noqa: B023
                lambda: filled.rollback(wait_seconds=wait),  # noqa: B023
            ):
                with pytest.raises(Mismatch, match=rf'being written by another process .*"pid": {holder.pid}\b'):
                    write()
        assert len(filled) == 19 and filled.search("red fish", 3)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(filled.add, [Document("x", "blue")], settings=PATIENT)
            assert holder.ask("go on") == "done"
            waiting.result()
    assert {"held", "x"} <= set(filled.ids())


def test_the_lock_goes_with_a_killed_writer(filled: Collection, python: Python) -> None:
    with python(HOLDER, filled.folder) as holder:
        assert holder.hear() == "holding"
        holder.kill()
    assert str(holder.pid) in (filled.folder / "LOCK").read_text()
    filled.add([Document("x", "blue")])
    assert "x" in filled.ids() and "held" not in filled.ids()


def test_a_stale_lock_of_a_dead_process_does_not_block(filled: Collection) -> None:
    (filled.folder / "LOCK").write_text(json.dumps({"pid": 999_999_999, "host": "gone", "since": "2001-01-01"}))
    assert filled.delete(["d1"]) == 1
    assert (filled.folder / "LOCK").read_text() == ""


def test_threads_that_write_through_one_collection_or_many_lose_nothing(filled: Collection, again: Open) -> None:
    first = filled.manifest.generation

    def write(number: int) -> None:
        collection = filled if number % 2 else again()
        for step in range(4):
            collection.add([Document(f"t{number}-{step}", f"text {number} {step}")], settings=PATIENT)
        collection.delete([f"t{number}-0"], wait_seconds=120)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    filled.refresh()
    assert {id for id in filled.ids() if id[0] == "t"} == {f"t{n}-{s}" for n in range(4) for s in range(1, 4)}
    assert filled.manifest.generation >= first + 20
    assert check_folder(filled.folder, load=None).problems == []


def test_processes_that_write_at_once_lose_nothing(filled: Collection, python: Python) -> None:
    program = """
for step in range(5):
    new = Document(f"{sys.stdin.readline().strip()}-{step}", "blue")
    collection.add([new], settings=WriteSettings(wait_seconds=120))
print("done", flush=True)
"""
    with python(program, filled.folder) as one, python(program, filled.folder) as two:
        for writer, name in ((one, "one"), (two, "two")):
            writer.say(f"{name}\n" * 5)
        assert one.hear() == two.hear() == "done"
    filled.refresh()
    assert len(filled) == 29 and {f"{name}-{step}" for name in ("one", "two") for step in range(5)} <= set(filled.ids())
    assert check_folder(filled.folder, load=None).problems == []


class Stalled:
    """A refresh in another thread that has opened the newer generation, and waits before it moves on to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, collection: Collection) -> None:
        here, real = threading.get_ident(), reading.open_snapshot
        ready, self._go_on = threading.Event(), threading.Event()

        def slow(*arguments: Any, **options: Any) -> Any:
            snapshot = real(*arguments, **options)
            if threading.get_ident() != here:
                ready.set()
                assert self._go_on.wait(60)
            return snapshot

        monkeypatch.setattr(reading, "open_snapshot", slow)
        self._thread = threading.Thread(target=collection.refresh)
        self._thread.start()
        assert ready.wait(60)

    def end(self) -> None:
        self._go_on.set()
        self._thread.join()


def test_a_slow_refresh_does_not_go_back_in_time(
    filled: Collection, again: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    again().add([Document("x", "blue")])
    slow = Stalled(monkeypatch, filled)
    filled.add([Document("y", "blue")])
    newest = filled.manifest.generation
    slow.end()
    assert filled.manifest.generation == newest


def test_a_slow_refresh_in_the_middle_of_a_write_loses_no_commit(
    filled: Collection, again: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = collections.collect_garbage
    again().add([Document("x", "blue")])
    slow = Stalled(monkeypatch, filled)
    again().add([Document("y", "blue")])

    def disturbed(*arguments: Any, **options: Any) -> Any:
        slow.end()  # The lock is held now, and the live generation is open.
        return real(*arguments, **options)

    monkeypatch.setattr(collections, "collect_garbage", disturbed)
    filled.add([Document("after", "blue")])
    assert {"x", "y", "after"} <= set(again().ids())
    assert check_folder(filled.folder, load=None).problems == []


def test_a_pointer_whose_manifest_is_cleared_away_before_it_is_read_is_read_again(
    filled: Collection, again: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, real, busy = again(), manifest.read_manifest, [True]

    def late(*arguments: Any, **options: Any) -> Any:
        if not busy:
            busy.append(True)
            filled.add([Document(f"new{len(filled)}", "blue")])
            filled.compact()
        return real(*arguments, **options)

    monkeypatch.setattr(manifest, "read_manifest", late)
    filled.add([Document("x", "blue")])
    busy.clear()
    assert len(again()) == 21
    busy.clear()
    assert reader.refresh()
    assert len(reader) == 22


def test_generations_that_are_cleared_away_while_they_are_listed_are_left_out(
    filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [kept.generation for kept in history.kept_generations(filled.folder)]
    monkeypatch.setattr(history, "generations_in", lambda folder: [1, *sorted(there)])
    assert 1 not in there
    assert [kept.generation for kept in history.kept_generations(filled.folder)] == there
    (filled.folder / f"manifest-{there[-1]:06d}.json").write_bytes(b"{")
    with pytest.raises(Damaged, match=f"manifest-{there[-1]:06d}"):
        history.kept_generations(filled.folder)


def test_a_check_beside_a_writer_finds_nothing_wrong(filled: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checking.problems

    def late(*arguments: Any, **options: Any) -> Any:
        filled.add([Document("x", "blue")])
        filled.compact()
        return real(*arguments, **options)

    monkeypatch.setattr(checking, "problems", late)
    assert check_folder(filled.folder, load=None).problems == []


def test_a_folder_that_fills_while_it_is_removed_is_removed_all_the_same(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (quick / "old").mkdir()
    real, times = fsio.shutil.rmtree, []

    def disturbed(path: Path) -> None:
        times.append(path)
        if len(times) < 3:
            raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(fsio.shutil, "rmtree", disturbed)
        Disk().remove(quick / "old")
    assert not (quick / "old").exists() and len(times) == 3
