"""A damaged file of any kind is refused by its name: one bit, one byte short, gone or emptied."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.disk.checking import check_folder
from retr.index.disk.pins import pin_problems
from retr.index.settings import CollectionSettings
from retr.retrieval.errors import Damaged, RetrError
from retr.retrieval.records import Document

KINDS = {
    "flat": (DenseSettings(), 20, {"dense.npy", "keys.npy"}),
    "int8": (DenseSettings(storage="int8"), 20, {"dense.npy", "dense-scales.npy", "keys.npy"}),
    "pq": (DenseSettings(kind="pq"), 1200, {"dense.npy", "dense.faiss", "keys.npy"}),
}
DAMAGES: dict[str, Callable[[Path, bytes, random.Random], None]] = {
    "one bit": lambda path, data, rng: flip(path, data, rng.randrange(len(data) * 8)),
    "one byte short": lambda path, data, rng: os.truncate(path, len(data) - 1),
    "gone": lambda path, data, rng: path.unlink(),
    "emptied": lambda path, data, rng: os.truncate(path, 0),
}


def flip(path: Path, data: bytes, bit: int) -> None:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    path.write_bytes(changed)


@contextmanager
def damaged(path: Path, damage: str, rng: random.Random) -> Iterator[None]:
    data = path.read_bytes()
    DAMAGES[damage](path, data, rng)
    yield
    path.write_bytes(data)


def made(folder: Path, encoder: Any, kind: str) -> Collection:
    """A folder with every kind of file that there is with these settings."""
    dense, size, _ = KINDS[kind]
    collection = Collection.create(folder, encoder=encoder, settings=CollectionSettings(dense=dense))
    collection.add([Document(f"d{n}", f"some text {n} {n % 7}") for n in range(size)])
    for step in range(3):
        collection.add([Document(f"e{step}{n}", f"more {step} {n}") for n in range(2)])
        collection.delete([f"e{step}0"])
    collection.add([Document("last", "merges those before")])
    collection.delete(["d3"])
    return collection


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_by_name_on_open_and_by_check(
    kind: str, damage: str, quick: Path, encoder: Any
) -> None:
    collection = made(quick / "index", encoder, kind)
    folder, length, rng = collection.folder, len(collection), random.Random(3)
    names = [*collection.manifest.files(), collection.manifest.name, "CURRENT"]
    kinds = {Path(name).suffix or name for name in names}
    assert {".parquet", ".npy", ".bitmap", ".json", ".term", ".pos", ".store", "CURRENT"} <= kinds
    assert {"documents.parquet", "passages.npy", *KINDS[kind][2]} <= {Path(name).name for name in names}
    for name in names:
        if (name, damage) == ("CURRENT", "one byte short"):
            continue  # Its line then has no end, and says the same.
        if not (folder / name).stat().st_size and damage != "gone":
            continue
        with damaged(folder / name, damage, rng):
            with pytest.raises(RetrError) as caught:
                Collection.open(folder, load=lambda _: encoder)
            # A changed pointer may still look like one, and then names a manifest that is not there.
            wanted = Path(name).name if name != "CURRENT" or "manifest" not in str(caught.value) else "manifest"
            assert wanted in str(caught.value)
            try:
                said = " ".join(check_folder(folder, load=None).problems)
            except RetrError as error:
                said = str(error)
            assert wanted in said
    assert len(Collection.open(folder, load=lambda _: encoder)) == length
    assert check_folder(folder, load=None).problems == []


def test_a_lost_pointer_is_damage_and_not_an_empty_index(quick: Path, encoder: Any) -> None:
    collection = made(quick / "index", encoder, "flat")
    (collection.folder / "CURRENT").unlink()
    with pytest.raises(Damaged, match="lost its CURRENT"):
        Collection.open(collection.folder, load=lambda _: encoder)
    with pytest.raises(RetrError):
        Collection.create(collection.folder, encoder=encoder)


@pytest.fixture
def pinned(quick: Path, encoder: Any) -> Collection:
    """A collection with a snapshot of an older generation, whose files it alone keeps."""
    collection = made(quick / "index", encoder, "flat")
    collection.snapshot("kept")
    collection.compact()
    return collection


def uses(collection: Collection, target: Path) -> dict[str, Callable[[], Any]]:
    """What reads the snapshot's file."""
    return {
        "rollback": lambda: collection.rollback("kept"),
        "copy": lambda: collection.copy(target, of="kept"),
        "drop": lambda: collection.drop_snapshot("kept"),
        "list": collection.snapshots,
        "add": lambda: collection.add([Document("x", "new")]),
        "compact": collection.compact,
    }


def test_any_flipped_bit_of_a_snapshots_file_is_refused_by_name_and_clears_nothing_away(
    pinned: Collection, quick: Path
) -> None:
    path = pinned.folder / "snapshots" / "kept.json"
    data, before = path.read_bytes(), sorted(pinned.folder.rglob("*"))
    assert list(pin_problems(pinned.folder)) == []
    for bit in range(len(data) * 8):
        flip(path, data, bit)
        [problem] = pin_problems(pinned.folder)
        assert "kept.json" in problem
        with pytest.raises(Damaged, match=r"kept\.json"):
            pinned.snapshots()
    for damage in ("one byte short", "emptied", "one bit"):
        with damaged(path, damage, random.Random(1)):
            for use in uses(pinned, quick / "copy").values():
                with pytest.raises(Damaged, match=r"kept\.json"):
                    use()
    path.write_bytes(data)
    assert sorted(pinned.folder.rglob("*")) == before
    pinned.rollback("kept")


def test_a_snapshots_file_under_another_name_is_refused(pinned: Collection) -> None:
    path = pinned.folder / "snapshots" / "kept.json"
    path.rename(path.with_name("other.json"))
    with pytest.raises(Damaged, match=r"other\.json"):
        pinned.snapshots()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_snapshot_of_a_damaged_generation_is_refused_by_name_and_the_live_one_is_not(
    damage: str, pinned: Collection, quick: Path, encoder: Any
) -> None:
    [pin] = pinned.snapshots()
    folder, rng = pinned.folder, random.Random(5)
    manifest = f"manifest-{pin.generation:06d}.json"
    names = [f"{path.parent.name}/{path.name}" for path in folder.glob("segments/*/*")]
    live = {f"{segment.name}/{name}" for segment in pinned.manifest.segments for name in segment.files}
    for name in [manifest, *(f"segments/{name}" for name in names if name not in live)]:
        with damaged(folder / name, damage, rng):
            with pytest.raises(RetrError, match=Path(name).name):
                pinned.rollback("kept")
            with pytest.raises(RetrError, match=Path(name).name):
                pinned.copy(quick / f"copy-{rng.random()}", of="kept")
            assert any(Path(name).name in problem for problem in pin_problems(folder))
            assert len(Collection.open(folder, load=lambda _: encoder)) == len(pinned)
    assert pinned.rollback("kept") > pin.generation


def test_check_names_a_damaged_snapshot(pinned: Collection) -> None:
    path = pinned.folder / "snapshots" / "kept.json"
    flip(path, path.read_bytes(), 100)
    assert "kept.json" in " ".join(check_folder(pinned.folder, load=None).problems)
