"""Deleting and adding for ever does not make a folder grow."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retr
from retr.index.collection import Collection
from retr.index.disk.checking import check_folder
from retr.index.lexical.postings import passages_in
from retr.index.writing.compaction import folder_bytes
from retr.retrieval.records import Document

ROWS, DIM, ROUNDS = 1_500, 32, 20
WORDS = [f"w{number}ord" for number in range(2_000)]


def documents(numbers: np.ndarray, version: int) -> list[Document]:
    rng = np.random.default_rng(version)
    return [
        Document(f"doc-{n}", f"{' '.join(rng.choice(WORDS, 30))} version{version}", metadata={"n": int(n)})
        for n in numbers
    ]


def vectors(rows: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, DIM)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def new(folder: Path) -> Collection:
    return Collection.create(folder, encoder=retr.GivenVectors(DIM))


@pytest.mark.slow
def test_half_replaced_twenty_times_takes_little_more_than_a_fresh_build(tmp_path: Path) -> None:
    fresh = new(tmp_path / "fresh")
    fresh.add(documents(np.arange(ROWS), 0), vectors=vectors(ROWS, 0))
    size, rng = folder_bytes(fresh.folder), np.random.default_rng(1)
    collection = new(tmp_path / "index")
    collection.add(documents(np.arange(ROWS), 0), vectors=vectors(ROWS, 0))
    sizes, latest = [], np.zeros(ROWS, np.int64)
    for version in range(1, ROUNDS + 1):
        chosen = rng.choice(ROWS, ROWS // 2, replace=False)
        assert collection.delete([f"doc-{n}" for n in chosen]) == len(chosen)
        collection.add(documents(chosen, version), vectors=vectors(len(chosen), version))
        latest[chosen] = version
        sizes.append(folder_bytes(collection.folder) / size)
        passages, _ = passages_in(collection.folder / collection.manifest.lexical_folder)
        assert passages <= 2 * ROWS + 1_000
        assert len(collection.manifest.segments) <= 8
    assert max(sizes) <= 4, sizes  # two generations are kept, either of them half dead
    assert max(sizes[10:]) <= 1.1 * max(sizes[:10]), sizes
    collection.compact()
    assert folder_bytes(collection.folder) <= 1.5 * size
    assert collection.count() == ROWS
    for version in range(ROUNDS + 1):
        expected = {f"doc-{n}" for n in np.flatnonzero(latest == version)}
        assert {hit.id for hit in collection.search(f"version{version}", ROWS, mode="lexical")} == expected
    assert check_folder(collection.folder, load=None).problems == []


@pytest.mark.parametrize("dead", [0.9, 0.99])
def test_deleting_most_of_it_gives_the_room_back_without_a_compaction(dead: float, tmp_path: Path) -> None:
    rows = 6_000
    collection = new(tmp_path / "index")
    collection.add(documents(np.arange(rows), 0), vectors=vectors(rows, 0))
    size = folder_bytes(collection.folder)
    collection.delete([f"doc-{n}" for n in range(int(rows * dead))])
    collection.add(documents(np.array([rows]), 1), vectors=vectors(1, 1))  # the generation before goes
    collection.add(documents(np.array([rows + 1]), 2), vectors=vectors(1, 2))
    assert folder_bytes(collection.folder) <= 1.5 * (1 - dead) * size + 100_000


def test_an_update_of_metadata_alone_does_not_pile_up(tmp_path: Path, encoder: Any) -> None:
    collection = Collection.create(tmp_path / "index", encoder=encoder)
    collection.add([Document(f"d{n}", f"text number{n}", metadata={"seen": 0}) for n in range(300)])
    size = folder_bytes(collection.folder)
    encoder.encoded.clear()
    for seen in range(1, 25):
        collection.add([Document(f"d{n}", f"text number{n}", metadata={"seen": seen}) for n in range(300)])
        assert folder_bytes(collection.folder) <= 12 * size
    assert encoder.encoded == []
    assert collection.count("seen = 24") == 300
    collection.compact()
    assert folder_bytes(collection.folder) <= 1.1 * size
