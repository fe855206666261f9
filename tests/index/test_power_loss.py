"""A power cut at any moment: what was not synced is torn, names not synced are undone. Acknowledged commits survive.

A model, run over a real folder: `Ledger` notes what the writer made durable, `cut` makes a copy that lacks some of the
rest. Two controls leave one kind of sync out; they must lose data, or the model would prove nothing.
"""

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.disk.fsio import Disk
from retr.index.disk.history import kept_manifest
from retr.index.disk.pins import pins_in
from retr.index.disk.verify import problems
from retr.retrieval.errors import RetrError

Story = Callable[[Collection], Iterator[Any]]


class Ledger(Disk):
    """Knows which contents and names are durable; calls `at_step` before each operation, one thread at a time."""

    def __init__(self, folder: Path, at_step: Callable[[], None], *, files: bool = True, folders: bool = True) -> None:
        self._folder, self._at_step, self._files, self._folders = folder, at_step, files, folders
        self._one_at_a_time = threading.RLock()
        self._contents: set[int] = set()
        self._names: dict[Path, int] = {}
        self._replaced: dict[Path, bytes] = {}
        self._removed: dict[Path, dict[Path, bytes]] = {}
        self.forgotten: list[str] = []
        for path in [folder, *folder.rglob("*")]:  # What lies there has been durable for long.
            self._contents.add(path.stat().st_ino)
            self._names[path] = path.stat().st_ino

    def make_folder(self, path: Path) -> None:
        with self._one_at_a_time:
            self._at_step()
            super().make_folder(path)

    def write(self, path: Path, data: bytes) -> None:
        with self._one_at_a_time:
            self._at_step()
            super().write(path, data)
            self._contents.discard(path.stat().st_ino)

    def sync_file(self, path: Path) -> None:
        with self._one_at_a_time:
            self._at_step()
            if self._files:
                self._contents.add(path.stat().st_ino)

    def sync_folder(self, path: Path) -> None:
        with self._one_at_a_time:
            self._at_step()
            if self._folders:
                self._names |= {child: child.stat().st_ino for child in path.iterdir()}
                for memory in (self._replaced, self._removed):
                    for child in [child for child in memory if child.parent == path]:
                        del memory[child]

    def rename(self, source: Path, target: Path) -> None:
        with self._one_at_a_time:
            self._at_step()
            if target.name == "CURRENT":
                self._audit(source)
            if target.exists():
                self._replaced.setdefault(target, target.read_bytes())
            super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        with self._one_at_a_time:
            self._at_step()
            super().link(source, target)

    def remove(self, path: Path) -> None:
        with self._one_at_a_time:
            self._at_step()
            files = [path] if path.is_file() else [child for child in path.rglob("*") if child.is_file()]
            if self._durable(path):
                self._removed[path] = {child: child.read_bytes() for child in files if self._durable(child)}
            for child in files:
                if child.stat().st_nlink == 1:  # The number may soon be another file's.
                    self._contents.discard(child.stat().st_ino)
            super().remove(path)

    def _durable(self, path: Path) -> bool:
        return path.exists() and self._names.get(path) == path.stat().st_ino

    def _audit(self, pointer: Path) -> None:
        """A commit is due: is all that it names durable?"""
        manifest = self._folder / pointer.read_text().split()[0]
        table = json.loads(manifest.read_bytes())
        named = [*table["deletes"], *(f"{table['lexical_folder']}/{name}" for name in table["lexical"])]
        named += [f"segments/{one['name']}/{name}" for one in table["segments"] for name in one["files"]]
        for path in [manifest, *(self._folder / name for name in named)]:
            names = [path, *(parent for parent in path.parents if parent.is_relative_to(self._folder))]
            if path.stat().st_ino not in self._contents or not all(map(self._durable, names)):
                self.forgotten.append(f"{path.relative_to(self._folder)} of {manifest.name}")
        if pointer.stat().st_ino not in self._contents:
            self.forgotten.append(pointer.name)

    def cut(self, target: Path, rng: random.Random) -> None:
        """Make what the disk may hold if the power goes now."""
        target.mkdir()
        for path in sorted(self._folder.rglob("*"), key=lambda path: len(path.parts)):
            there = target / path.relative_to(self._folder)
            if there.parent.exists() and path.name != "LOCK":
                self._keep(path, there, rng)
        for top, files in self._removed.items():
            if rng.random() < 0.5 and not top.exists():
                for path, data in files.items():
                    there = target / path.relative_to(self._folder)
                    there.parent.mkdir(parents=True, exist_ok=True)
                    there.write_bytes(data)

    def _keep(self, path: Path, there: Path, rng: random.Random) -> None:
        try:
            inode = path.stat().st_ino
            data = b"" if path.is_dir() else path.read_bytes()
        except FileNotFoundError:  # Other threads go on writing meanwhile.
            return
        if self._names.get(path) != inode and rng.random() < 0.5:
            if path in self._replaced:
                there.write_bytes(self._replaced[path])
        elif path.is_dir():
            there.mkdir()
        else:
            torn = inode not in self._contents and rng.random() < 0.7
            there.write_bytes(data[: rng.randrange(len(data) + 1)] if torn else data)


class Cuts:
    """Cuts the power at every step, or every so many; `bad` are those that left less than was acknowledged."""

    def __init__(self, folder: Path, encoder: Any, states: list[Any], every: int) -> None:
        self.folder, self.encoder, self.states, self.every = folder, encoder, states, every
        self.told = self.steps = self.cuts = 0
        self.ledger: Ledger | None = None
        self.bad: list[str] = []

    def at_step(self) -> None:
        self.steps += 1
        if self.ledger is None or self.steps % self.every:
            return
        self.cuts += 1
        here = self.folder.parent / "cut"
        self.ledger.cut(here, random.Random(self.cuts))
        possible = self.states[self.told : self.told + 2]
        try:
            collection = Collection.open(here, load=lambda _: self.encoder)
            texts = {document.id: document.text for document in collection.get(collection.ids())}
            pins = {pin.name for pin in pins_in(here)}
            damaged = [problem for name in pins for problem in problems(here, kept_manifest(here, name))]
            if texts not in [state.texts for state in possible] or pins not in [state.snapshots for state in possible]:
                self.bad.append(f"step {self.steps}: {sorted(texts)} {pins}")
            self.bad += damaged
        except (RetrError, OSError) as error:
            self.bad.append(f"step {self.steps}: {error}")
        Disk().remove(here)


def cuts(folder: Path, encoder: Any, story: Story, empty: Any, every: int = 1, **left_out: bool) -> Cuts:
    """The whole story, or what of it the first loss allows, with the power cut before the operations."""
    states = [empty, *story(Collection.create(folder / "whole", encoder=encoder))]
    Collection.create(folder / "index", encoder=encoder)
    made = Cuts(folder / "index", encoder, states, every)
    made.ledger = Ledger(folder / "index", made.at_step, **left_out)
    for _ in story(Collection.open(folder / "index", load=lambda _: encoder, disk=made.ledger)):
        made.told += 1
        if left_out and made.bad:
            break
    return made


@pytest.fixture(autouse=True)
def _no_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is hashed anew at every open."""
    monkeypatch.setenv("RETR_CACHE_DIR", os.devnull)


def test_acknowledged_commits_and_snapshots_survive_a_power_cut(
    quick: Path, encoder: Any, story: Story, empty: Any, thorough: bool
) -> None:
    made = cuts(quick, encoder, story, empty, every=1 if thorough else 3)
    assert made.bad == []
    assert made.steps > 900 and made.cuts > 300
    assert made.ledger is not None and made.ledger.forgotten == []


def test_so_they_do_with_token_vectors(quick: Path, token_encoder: Any, short_story: Story, empty: Any) -> None:
    made = cuts(quick, token_encoder, short_story, empty, every=6)
    assert made.bad == []
    assert made.cuts > 50 and made.ledger is not None and made.ledger.forgotten == []


def test_control_without_folder_syncs_token_vectors_are_lost(
    quick: Path, token_encoder: Any, short_story: Story, empty: Any
) -> None:
    made = cuts(quick, token_encoder, short_story, empty, every=2, folders=False)
    assert made.bad and made.ledger is not None
    assert any("/late/" in name for name in made.ledger.forgotten)


def test_control_without_file_syncs_the_model_loses_data(quick: Path, encoder: Any, story: Story, empty: Any) -> None:
    made = cuts(quick, encoder, story, empty, files=False)
    assert made.bad
    assert made.ledger is not None and made.ledger.forgotten


def test_control_without_folder_syncs_the_model_loses_data(quick: Path, encoder: Any, story: Story, empty: Any) -> None:
    made = cuts(quick, encoder, story, empty, folders=False)
    assert made.bad
    assert made.ledger is not None and made.ledger.forgotten


class NamesDisk(Disk):
    """Notes the folders whose names have been made durable."""

    def __init__(self) -> None:
        self.synced: set[Path] = set()

    def sync_folder(self, path: Path) -> None:
        self.synced |= set(path.iterdir())


def test_the_name_of_a_new_index_and_of_a_copy_is_durable_too(quick: Path, encoder: Any) -> None:
    disk = NamesDisk()
    collection = Collection.create(quick / "some" / "where" / "index", encoder=encoder, disk=disk)
    collection.copy(quick / "else" / "copy")
    made = {quick / name for name in ("some", "some/where", "some/where/index", "else", "else/copy")}
    assert made <= disk.synced
