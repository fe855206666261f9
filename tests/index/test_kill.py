"""A writer killed by the system at random instants, two readers running: no commit is lost, none is seen by half."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.disk.checking import check_folder

GROUP = 3
"""Documents that are always written together; the version stands in each."""

# One process that has everything imported and forks a writer for each round, which says what it begins and has done.
WRITERS = """
import json, os, random, sys, traceback
import duckdb, faiss, pyarrow.compute, pyarrow.parquet, semantic_text_splitter
sys.path.insert(0, sys.argv[2])
from conftest import ENCODERS
from retr.index.writing import commits
from retr.index.writing import merging
from retr.index.collection import Collection
from retr.retrieval.records import Document

merging.FAN_OUT, merging.SMALLEST_ROWS, merging.DEAD_DOCUMENTS = 3, 8, 6
merging.SMALL_ROWS = commits.SMALL_ROWS = 18

def say(*what):
    os.write(1, (json.dumps(what) + "\\n").encode())

def documents(group, version):
    word = f"word{group}"
    return [
        Document(f"{group}-{n}", f"{word} {word} {word} part{n}", metadata={"group": group, "version": version})
        for n in range(3)
    ]

def write(rng, groups):
    collection = Collection.open(sys.argv[1], load=lambda _: ENCODERS[sys.argv[3]]())
    next_group = max(groups, default=0) + 1
    while True:
        kind = rng.choices(["new", "again", "delete", "compact"], [5, 3, 2 if len(groups) < 30 else 9, 1])[0]
        group = next_group if kind == "new" or not groups else rng.choice(sorted(groups))
        if kind == "compact":
            say("begin", None, None)
            collection.compact()
        elif kind == "delete" and groups:
            say("begin", group, None)
            collection.delete([f"{group}-{n}" for n in range(3)])
            del groups[group]
        else:
            version = groups.get(group, 0) + 1
            say("begin", group, version)
            collection.add(documents(group, version))
            groups[group] = version
            next_group = max(next_group, group + 1)
        say("done")

for line in sys.stdin:
    seed, groups = json.loads(line)
    child = os.fork()
    if not child:
        try:
            say("writer", os.getpid())
            write(random.Random(seed), {int(group): version for group, version in groups.items()})
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    status = os.waitpid(child, 0)[1]
    say("ended", os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
"""

READER = """
import random, sys
from collections import Counter
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import ENCODERS
from retr.index.collection import Collection

rng = random.Random(int(sys.argv[3]))
stop = Path(sys.argv[1] + ".stop")

def open_one():
    return Collection.open(sys.argv[1], load=lambda _: ENCODERS[sys.argv[4]]())

def look(collection):
    ids = collection.ids()
    groups = Counter(int(id.split("-")[0]) for id in ids)
    assert set(groups.values()) <= {3}, groups
    assert len(collection) == len(ids)
    group = rng.choice(sorted(groups)) if groups and rng.random() < 0.9 else max(groups, default=0) + 1000
    whole = {f"{group}-{n}" for n in range(3)} & set(ids)
    assert len({one.metadata["version"] for one in collection.get(whole)}) <= 1, collection.get(whole)
    assert {hit.id for hit in collection.search(f"word{group}", 10, mode="lexical")} == whole
    if whole:
        found = [hit.id for hit in collection.search(f"word{group}", 3, mode=sys.argv[4])]
        assert set(found) == whole, (found, whole)
    if rng.random() < 0.3:
        assert set(collection.ids(f"group = {group}")) == whole

collection, rounds, last, moved = open_one(), 0, 0, 0
while not stop.exists():
    if rng.random() < 0.2:
        collection = open_one()
    else:
        collection.refresh()
    assert collection.manifest.generation >= last, (collection.manifest.generation, last)
    moved += collection.manifest.generation > last
    last = collection.manifest.generation
    look(collection)
    rounds += 1
print(rounds, moved)
"""


def started(program: str, *arguments: str, errors: Path) -> subprocess.Popen[str]:
    with errors.open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )


class Writers:
    """Starts one writer after another, kills it, and keeps what it has acknowledged: versions by group."""

    def __init__(self, folder: Path, errors: Path, kind: str) -> None:
        self.groups: dict[str, int] = {}
        self.begun: tuple[Any, Any] | None = None
        self.done = 0
        self._errors = errors
        self._process = started(WRITERS, str(folder), str(Path(__file__).parent), kind, errors=errors)

    def lines(self) -> Iterator[list[Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield json.loads(line)

    def round(self, seed: int, commits: int, seconds: float) -> None:
        """Start a writer, and kill it so many seconds after so many commits."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([seed, self.groups]) + "\n")
        self._process.stdin.flush()
        self.begun = None
        lines = self.lines()
        kind, process = next(lines)
        assert kind == "writer"
        goal, killed = self.done + commits, False
        while True:
            if self.done == goal and not killed:
                time.sleep(seconds)
                os.kill(process, signal.SIGKILL)
                killed = True
            kind, *values = next(lines)
            if kind == "begin":
                self.begun = (values[0], values[1])
            elif kind == "done":
                self.groups, self.begun, self.done = self.with_begun(), None, self.done + 1
            else:
                assert (kind, values) == ("ended", [signal.SIGKILL]), self._errors.read_text()
                return

    def with_begun(self) -> dict[str, int]:
        """The groups, if what was begun is done."""
        group, version = self.begun or (None, None)
        if group is None:
            return self.groups
        others = {key: value for key, value in self.groups.items() if key != str(group)}
        return others if version is None else {**others, str(group): version}

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def versions(folder: Path, encoder: Any) -> dict[str, int]:
    """The version of every group; each must be whole."""
    collection = Collection.open(folder, load=lambda _: encoder)
    found: dict[str, list[int]] = {}
    for document in collection.get(collection.ids()):
        found.setdefault(document.id.split("-")[0], []).append(document.metadata["version"])
    for group, values in found.items():
        assert len(values) == GROUP and len(set(values)) == 1, (group, values)
    return {group: values[0] for group, values in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "late"])
def test_writers_killed_at_random_instants_lose_nothing_and_readers_never_notice(
    tmp_path: Path, quick: Path, kind: str, encoder: Any, token_encoder: Any, thorough: bool
) -> None:
    rounds = 200 if thorough else {"dense": 25, "late": 6}[kind]
    encoder = encoder if kind == "dense" else token_encoder
    # On a real disk a writer spends most of its time waiting for it, and is killed there.
    folder = (tmp_path if thorough else quick) / "index"
    Collection.create(folder, encoder=encoder)
    rng = random.Random(11)
    here = str(Path(__file__).parent)
    errors = [tmp_path / f"reader{number}" for number in range(2)]
    readers = [started(READER, str(folder), here, str(number), kind, errors=path) for number, path in enumerate(errors)]
    writers = Writers(folder, tmp_path / "writers", kind)
    try:
        for seed in range(rounds):
            writers.round(seed, commits=seed % 4, seconds=rng.uniform(0, 0.2))
            found = versions(folder, encoder)
            assert found in (writers.groups, writers.with_begun()), seed
            writers.groups = found
            assert check_folder(folder, load=None).problems == [], seed
            for reader, path in zip(readers, errors, strict=True):
                assert reader.poll() is None, path.read_text()
    finally:
        (tmp_path / "index.stop" if thorough else quick / "index.stop").touch()
        writers.close()
        counts = [reader.communicate(timeout=60)[0].split() for reader in readers]
    for reader, path, count in zip(readers, errors, counts, strict=True):
        assert reader.returncode == 0, path.read_text()
        assert int(count[0]) > rounds / 2 and int(count[1]) > rounds / 5, count
    assert writers.done >= rounds
