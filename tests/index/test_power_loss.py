"""A power cut at any moment: what was not synced is torn, names not synced are undone. Acknowledged commits survive.

A model, run over a real folder: `Ledger` notes what the writer made durable, `cut` then takes the rest away at random.
Two controls leave one kind of sync out; they must lose data, or the model would prove nothing.
"""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.fsio import Disk
from retr.retrieval.errors import RetrError
from retr.retrieval.records import Document


class Cut(BaseException):
    """The power is gone."""


class Ledger(Disk):
    """Knows which contents and names are durable, and cuts the power before the n-th operation."""

    def __init__(self, cut_at: int, *, files: bool = True, folders: bool = True) -> None:
        self.left, self.files, self.folders = cut_at, files, folders
        self.contents: set[int] = set()
        self.names: dict[Path, int] = {}
        self.before: dict[Path, bytes] = {}

    def trust(self, folder: Path) -> None:
        """Everything that lies there now has been durable for long."""
        for path in [folder, *folder.rglob("*")]:
            self.contents.add(path.stat().st_ino)
            self.names[path] = path.stat().st_ino

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cut

    def write(self, path: Path, data: bytes) -> None:
        self._count()
        super().write(path, data)

    def sync_file(self, path: Path) -> None:
        self._count()
        if self.files:
            self.contents.add(path.stat().st_ino)

    def sync_folder(self, path: Path) -> None:
        self._count()
        if self.folders:
            for child in path.iterdir():
                self.names[child] = child.stat().st_ino
                self.before.pop(child, None)

    def rename(self, source: Path, target: Path) -> None:
        self._count()
        if target.exists():
            self.before.setdefault(target, target.read_bytes())
        super().rename(source, target)

    def cut(self, folder: Path, rng: random.Random) -> None:
        """Leave on the disk what a cut may leave."""
        for path in sorted(folder.rglob("*"), key=lambda path: len(path.parts)):
            if path.name == "LOCK" or not path.exists():
                continue
            inode = path.stat().st_ino
            if self.names.get(path) != inode and rng.random() < 0.5:
                self._undo(path)
            elif path.is_file() and inode not in self.contents and rng.random() < 0.7:
                data = path.read_bytes()
                path.unlink()  # Never through a hard link into an older generation.
                path.write_bytes(data[: rng.randrange(len(data) + 1)])

    def _undo(self, path: Path) -> None:
        if path in self.before:
            path.write_bytes(self.before[path])
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def script(folder: Path, encoder: Any, disk: Disk, acknowledged: list[set[str]]) -> None:
    collection = Collection.open(folder, load=lambda _: encoder, disk=disk)
    for step in range(3):
        collection.add([Document(f"d{step}", f"text {step}")])
        acknowledged.append(acknowledged[-1] | {f"d{step}"})
    collection.delete(["d1"])
    acknowledged.append(acknowledged[-1] - {"d1"})


def losses(tmp_path: Path, encoder: Any, **left_out: bool) -> tuple[int, int]:
    """How many cuts there were, and after how many the index was unreadable or not as acknowledged."""
    fresh = tmp_path / "fresh"
    Collection.create(fresh, encoder=encoder)
    reference: list[set[str]] = [set()]
    shutil.copytree(fresh, tmp_path / "whole")
    script(tmp_path / "whole", encoder, Disk(), reference)
    bad = cuts = 0
    while True:
        folder = tmp_path / f"c{cuts}"
        shutil.copytree(fresh, folder)
        ledger = Ledger(cuts, **left_out)
        ledger.trust(folder)
        acknowledged: list[set[str]] = [set()]
        try:
            script(folder, encoder, ledger, acknowledged)
        except Cut:
            pass
        else:
            return cuts, bad
        ledger.cut(folder, random.Random(cuts))
        possible = [acknowledged[-1], *reference[len(acknowledged) : len(acknowledged) + 1]]
        try:
            bad += set(Collection.open(folder, load=lambda _: encoder).ids()) not in possible
        except (RetrError, OSError):
            bad += 1
        shutil.rmtree(folder)
        cuts += 1


@pytest.fixture(autouse=True)
def _no_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is hashed anew at every open."""
    monkeypatch.setenv("RETR_CACHE_DIR", os.devnull)


def test_acknowledged_commits_survive_a_power_cut(tmp_path: Path, encoder: Any) -> None:
    cuts, bad = losses(tmp_path, encoder)
    assert cuts > 60
    assert bad == 0


def test_control_without_file_syncs_the_model_loses_data(tmp_path: Path, encoder: Any) -> None:
    assert losses(tmp_path, encoder, files=False)[1] > 0


def test_control_without_folder_syncs_the_model_loses_data(tmp_path: Path, encoder: Any) -> None:
    assert losses(tmp_path, encoder, folders=False)[1] > 0
