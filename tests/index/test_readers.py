"""A reader keeps its generation however long it reads; when it has ended, in whatever way, its files go."""

import gc
import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.disk.manifest import generations_in
from retr.index.writing.compaction import folder_bytes
from retr.retrieval.records import Document

Open = Callable[[], Collection]
Python = Callable[[str, Path], Any]

READER = """
before = answers(collection)
print(json.dumps(before), flush=True)
for line in sys.stdin:
    if line.startswith("refresh"):
        collection.refresh()
    print(json.dumps([answers(collection), collection.ids(line.split(maxsplit=1)[1])]), flush=True)
"""


def commits_and_compactions(collection: Collection) -> None:
    """Fifty commits, in which every old document goes, and three compactions."""
    for step in range(50):
        collection.add(
            [Document(f"n{step}", f"red fish and more {step}"), Document(f"d{step % 20}", f"changed {step}")]
        )
        if step % 20 == 9:
            collection.delete([f"n{step - 1}"])
            assert collection.compact().held


@pytest.mark.usefixtures("eager")
def test_readers_across_50_commits_and_3_compactions_keep_their_answers(
    filled: Collection, again: Open, python: Python, answers: Callable[[Collection], Any]
) -> None:
    here = again()
    before = json.loads(json.dumps(answers(here)))
    with python(READER, filled.folder) as elsewhere:
        assert json.loads(elsewhere.hear()) == before
        commits_and_compactions(filled)
        assert json.loads(json.dumps(answers(here))) == before
        # Filters are run over files of the old generation, which have not been read until now.
        assert here.ids("number < 7") == ["d0", "d1", "d2", "d4", "d5", "d6"]
        assert json.loads(elsewhere.ask("stay number < 7")) == [before, ["d0", "d1", "d2", "d4", "d5", "d6"]]
        assert here.manifest.generation in generations_in(filled.folder)
        large = folder_bytes(filled.folder)
        assert here.refresh()
        now = json.loads(json.dumps(answers(here)))
        assert now != before and now == json.loads(json.dumps(answers(filled)))
        assert json.loads(elsewhere.ask("refresh number < 7")) == [now, []]
    del here
    filled.delete(["n1"])
    assert filled.compact().held == ()
    assert generations_in(filled.folder) == [filled.manifest.generation]
    assert folder_bytes(filled.folder) < large


def test_what_a_closed_reader_held_goes_with_the_next_write(filled: Collection, again: Open) -> None:
    reader = again()
    held = reader.manifest.generation
    filled.add([Document(f"d{n}", "changed " * 1000) for n in range(20)])
    for _ in range(3):
        filled.add([Document("x", f"blue {random.random()}")])
    assert filled.compact().held == (held,)
    size = folder_bytes(filled.folder)
    del reader
    gc.collect()
    filled.add([Document("x", "red")])
    assert held not in generations_in(filled.folder)
    assert filled.compact().held == ()
    assert folder_bytes(filled.folder) < size


def test_a_killed_reader_holds_nothing(filled: Collection, python: Python) -> None:
    with python("print(collection.manifest.generation, flush=True); sys.stdin.readline()", filled.folder) as reader:
        held = int(reader.hear())
        for n in range(3):
            filled.add([Document("x", f"blue {n}")])
        assert held in generations_in(filled.folder)
        reader.kill()
    filled.add([Document("x", "red")])
    assert held not in generations_in(filled.folder)


class Crowd:
    """Threads that read while one writes: documents come and go in pairs, and an answer has both of a pair or none."""

    def __init__(self, shared: Collection, writer: Collection) -> None:
        self.shared, self.writer, self.ended = shared, writer, threading.Event()

    def search(self, seed: int) -> int:
        rng, rounds = random.Random(seed), 0
        while not self.ended.is_set() or not rounds:
            pair, mode = rng.randrange(12), rng.choice(["lexical", "dense", "filter"])
            found = self.found(pair, mode)
            assert sorted(found) in ([], [f"p{pair}-0", f"p{pair}-1"]), (mode, found)
            rounds += 1
        return rounds

    def found(self, pair: int, mode: Any) -> list[str]:
        if mode == "filter":
            return self.shared.ids(f"pair = {pair}")
        hits = self.shared.search(f"pair{pair}x pair{pair}x", 50, mode=mode)
        return [hit.id for hit in hits if hit.id.startswith(f"p{pair}-")]

    def refresh(self) -> int:
        moved = 0
        while not self.ended.is_set():
            moved += self.shared.refresh()
        return moved

    def write(self) -> None:
        rng = random.Random(0)
        try:
            for step in range(25):
                pair = rng.randrange(12)
                word = f"pair{pair}x"
                if rng.random() < 0.3:
                    self.writer.delete([f"p{pair}-0", f"p{pair}-1"])
                else:
                    meta = {"pair": pair}
                    self.writer.add([Document(f"p{pair}-{n}", f"{word} {word} {step}", metadata=meta) for n in (0, 1)])
                if step % 10 == 9:
                    self.writer.compact()
        finally:
            self.ended.set()


@pytest.mark.usefixtures("eager")
def test_many_threads_search_while_others_refresh_and_write(filled: Collection, again: Open) -> None:
    crowd = Crowd(again(), filled)
    with ThreadPoolExecutor(6) as pool:
        searches = [pool.submit(crowd.search, seed) for seed in range(4)]
        moving = pool.submit(crowd.refresh)
        pool.submit(crowd.write).result()
        assert all(each.result() for each in searches)
        assert moving.result() > 5
