"""Killed before or after any step of any write, the folder opens at a commit; what was acknowledged is there, whole."""

import json
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.disk.checking import check_folder
from retr.index.disk.fsio import Disk
from retr.index.disk.history import kept_manifest
from retr.index.disk.pins import pins_in
from retr.index.disk.verify import problems
from retr.index.settings import WriteSettings
from retr.index.writing import commits
from retr.retrieval.errors import RetrError
from retr.retrieval.records import Document

OPERATIONS = ("make_folder", "write", "sync_file", "sync_folder", "rename", "link", "remove")
EACH = WriteSettings(encode_passages=1, commit_passages=1)
Story = Callable[[Collection], Iterator[Any]]


class WatchedDisk(Disk):
    """Calls back before and after each operation, one thread at a time."""

    def __init__(self, watch: Callable[[str], None]) -> None:
        self._watch, self._one_at_a_time = watch, threading.RLock()

    def __getattribute__(self, name: str) -> Any:
        operation = super().__getattribute__(name)
        if name not in OPERATIONS:
            return operation

        def watched(*arguments: Any) -> None:
            with self._one_at_a_time:
                self._watch(f"before {name} {arguments[-1]}")
                if not name.startswith("sync"):  # The process dies here, not the machine: that tells nothing.
                    operation(*arguments)
                    self._watch(f"after {name} {arguments[-1]}")

        return watched


def content(folder: Path, encoder: Any) -> dict[str, str]:
    collection = Collection.open(folder, load=lambda _: encoder)
    return {document.id: document.text for document in collection.get(collection.ids())}


def image_of(folder: Path) -> tuple[Any, ...]:
    """What tells one state of the files from another."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                stat = os.stat(os.path.join(parent, name))
            except FileNotFoundError:  # The library that writes the postings has files of its own for a moment.
                continue
            found.append((parent, name, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(sorted(found))


def copy_of(folder: Path, target: Path) -> None:
    """The files as they lie there now, while other threads may write."""
    for parent, _, names in os.walk(folder):
        there = target / Path(parent).relative_to(folder)
        there.mkdir(parents=True)
        for name in names:
            try:
                shutil.copyfile(Path(parent, name), there / name)
            except FileNotFoundError:
                continue


def named(folder: Path) -> set[str]:
    """Every file that belongs to an index folder, by its manifests and snapshots alone."""
    found = {"CURRENT", "LOCK", *(f"snapshots/{path.name}" for path in folder.glob("snapshots/*.json"))}
    for path in folder.glob("manifest-*.json"):
        table = json.loads(path.read_bytes())
        found |= {path.name, *table["deletes"], *(f"{table['lexical_folder']}/{name}" for name in table["lexical"])}
        found |= {f"segments/{one['name']}/{name}" for one in table["segments"] for name in one["files"]}
    return without_locks(found)


def present(folder: Path) -> set[str]:
    return without_locks({path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()})


def without_locks(names: set[str]) -> set[str]:
    """Opening postings leaves an empty lock file beside them, which goes with their folder."""
    return {name for name in names if not name.endswith("/.tantivy-meta.lock")}


def tear(folder: Path, rng: random.Random) -> None:
    """Cut what no commit names yet to any length: the process died in the middle of writing it."""
    live = (folder / "CURRENT").read_text().split()[0]
    for path in folder.glob("manifest-*.json"):
        if path.name > live:
            os.truncate(path, rng.randrange(path.stat().st_size + 1))
            path.rename(path.with_suffix(".torn"))
    for name in present(folder) - named(folder):
        os.truncate(folder / name, rng.randrange((folder / name).stat().st_size + 1))
    for path in folder.glob("manifest-*.torn"):
        path.rename(path.with_suffix(".json"))


class Killings:
    """At every step, what a process killed there would leave behind is opened, checked and written to."""

    def __init__(self, folder: Path, encoder: Any, states: list[Any], every: int) -> None:
        self.folder, self.encoder, self.states, self.every = folder, encoder, states, every
        self.told = self.images = 0
        self._last: tuple[Any, ...] = ()

    def look(self, where: str) -> None:
        image = image_of(self.folder)
        if image == self._last:
            return
        self._last = image
        self.images += 1
        if self.images % self.every:
            return
        here = self.folder.parent / "killed"
        copy_of(self.folder, here)
        if self.images // self.every % 2:
            tear(here, random.Random(self.images))
        # The commit under way may already be visible; nothing in between may be.
        possible = self.states[self.told : self.told + 2]
        found = content(here, self.encoder)
        assert found in [state.texts for state in possible], where
        assert {pin.name for pin in pins_in(here)} in [state.snapshots for state in possible], where
        for pin in pins_in(here):
            assert list(problems(here, kept_manifest(here, pin.name))) == [], where
        if self.every == 1 or self.images // self.every % 5 == 0:
            self.life_goes_on(here, found, where)
        Disk().remove(here)

    def life_goes_on(self, here: Path, found: dict[str, str], where: str) -> None:
        assert check_folder(here, load=None).problems == [], where
        collection = Collection.open(here, load=lambda _: self.encoder)
        assert collection.add([Document("after", "life goes on")]).problems == []
        assert content(here, self.encoder) == {**found, "after": "life goes on"}, where
        assert check_folder(here, load=None).problems == [], where
        assert present(here) == named(here), where
        assert collection.delete(["after"]) == 1
        assert present(here) == named(here), where
        # The last two generations, and the one that the writer itself began with.
        assert len(list(here.glob("manifest-*"))) <= 3 + len(pins_in(here)), where


def test_killed_before_or_after_any_step_it_opens_at_a_commit(
    quick: Path, encoder: Any, story: Story, empty: Any, thorough: bool
) -> None:
    states = [empty, *story(Collection.create(quick / "whole", encoder=encoder))]
    Collection.create(quick / "index", encoder=encoder)
    killings = Killings(quick / "index", encoder, states, every=1 if thorough else 2)
    disk = WatchedDisk(killings.look)
    for state in story(Collection.open(quick / "index", load=lambda _: encoder, disk=disk)):
        killings.told += 1
        assert state == states[killings.told]
        killings.look("acknowledged")
    assert killings.images > 400


def test_so_it_does_with_token_vectors(quick: Path, token_encoder: Any, short_story: Story, empty: Any) -> None:
    states, bits = [empty], set()
    whole = Collection.create(quick / "whole", encoder=token_encoder)
    for state in short_story(whole):
        states.append(state)
        bits |= {one["bits"] for one in whole.describe()["late"]}
    assert bits == {8, 4}
    Collection.create(quick / "index", encoder=token_encoder)
    killings = Killings(quick / "index", token_encoder, states, every=8)
    disk = WatchedDisk(killings.look)
    for state in short_story(Collection.open(quick / "index", load=lambda _: token_encoder, disk=disk)):
        killings.told += 1
        assert state == states[killings.told]
        killings.look("acknowledged")
    assert killings.images > 200


class Stop(BaseException):
    """Such as KeyboardInterrupt: it comes at any step, and what cleans up behind it runs."""


def test_interrupted_at_any_step_it_opens_at_a_commit(
    quick: Path, encoder: Any, story: Story, empty: Any, thorough: bool
) -> None:
    states = [empty, *story(Collection.create(quick / "whole", encoder=encoder))]
    steps = [0]

    def watch(where: str) -> None:
        steps[0] -= 1
        if not steps[0]:
            raise Stop

    stop, stopped = 5, True
    while stopped:
        folder, told, stopped = quick / f"i{stop}", 0, False
        steps[0] = stop
        disk = WatchedDisk(watch)
        collection = Collection.create(folder, encoder=encoder)
        try:
            for _ in story(Collection.open(folder, load=lambda _: encoder, disk=disk)):
                told += 1
        except Stop:
            stopped = True
        found = content(folder, encoder)
        assert found in [state.texts for state in states[told : told + 2]], stop
        collection.add([Document("after", "life goes on")])
        assert content(folder, encoder) == {**found, "after": "life goes on"}
        assert present(folder) == named(folder)
        Disk().remove(folder)
        stop += 5 if thorough else 173
    assert stop > 1000


def test_a_copy_killed_at_any_step_is_whole_or_no_index(quick: Path, encoder: Any) -> None:
    collection = Collection.create(quick / "index", encoder=encoder)
    collection.add([Document(f"d{number}", f"text {number}") for number in range(4)])
    collection.delete(["d1"])
    wanted, refused, whole = content(quick / "index", encoder), 0, 0

    def look(where: str) -> None:
        nonlocal refused, whole
        here = quick / "killed"
        if not present(quick / "copy"):
            return
        copy_of(quick / "copy", here)
        try:
            found = content(here, encoder)
        except RetrError:
            refused += 1
            with pytest.raises(RetrError, match="folder"):
                collection.copy(here)
        else:
            whole += 1
            assert found == wanted, where
            assert check_folder(here, load=None).problems == []
        Disk().remove(here)

    Collection.open(quick / "index", load=lambda _: encoder, disk=WatchedDisk(look)).copy(quick / "copy")
    assert refused > 10 and whole >= 1
    assert content(quick / "copy", encoder) == content(quick / "index", encoder) == wanted


def test_an_index_killed_while_it_is_made_is_empty_or_refused(quick: Path, encoder: Any) -> None:
    outcomes: list[str] = []

    def look(where: str) -> None:
        if (quick / "index").exists():
            copy_of(quick / "index", quick / "killed")
            try:
                assert content(quick / "killed", encoder) == {}, where
                outcomes.append("empty")
            except RetrError:
                outcomes.append("refused")
            Disk().remove(quick / "killed")

    Collection.create(quick / "index", encoder=encoder, disk=WatchedDisk(look))
    assert outcomes == sorted(outcomes, reverse=True) and set(outcomes) == {"empty", "refused"}


def test_an_interrupted_add_goes_on_where_it_stopped(quick: Path, encoder: Any) -> None:
    collection = Collection.create(quick / "index", encoder=encoder)
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


def test_rolling_back_undoes_the_last_write_also_where_it_has_set_off_a_merge(
    quick: Path, encoder: Any, eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "SMALL_ROWS", 2)  # So that some merges are generations of their own.
    collection = Collection.create(quick / "index", encoder=encoder)
    undone = []
    for step in range(12):
        before = content(collection.folder, encoder)
        generation, segments = collection.manifest.generation, len(collection.manifest.segments)
        if step % 4 == 3:
            collection.add([Document("d0", f"changed in {step}")])
        else:
            collection.add([Document(f"d{step}", f"text {step}")])
        undone.append((collection.manifest.generation - generation, len(collection.manifest.segments) - segments))
        after = content(collection.folder, encoder)
        collection.rollback()
        assert content(collection.folder, encoder) == before != after
        collection.rollback()
        assert content(collection.folder, encoder) == after
    assert {made for made, _ in undone} == {1, 2} and min(merged for _, merged in undone) < 0
