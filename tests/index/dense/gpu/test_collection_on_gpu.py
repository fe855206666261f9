"""A whole collection with its vectors on GPUs (stand-ins): it answers as on the CPU, whatever is written to it."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import retr
from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.settings import CollectionSettings
from retr.retrieval.records import Document

DIM = 32


def documents(start: int, stop: int) -> list[Document]:
    return [Document(f"d{n}", f"text {n}", metadata={"n": n}) for n in range(start, stop)]


@pytest.fixture
def values() -> NDArray[np.float32]:
    centres = np.random.default_rng(9).normal(size=(30, DIM))
    random = np.random.default_rng(0)
    found = centres[random.integers(0, 30, 2_540)] + random.normal(size=(2_540, DIM))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, values: NDArray[np.float32]) -> Path:
    settings = CollectionSettings(dense=DenseSettings(kind="ivf-flat"))
    collection = retr.create(tmp_path / "index", encoder=retr.GivenVectors(DIM), settings=settings)
    collection.add(documents(0, 2_000), vectors=values[:2_000])
    return collection.folder


def nearest(collection: Collection, queries: NDArray[np.float32], **more: Any) -> list[list[tuple[str, float]]]:
    return [[(near.id, near.score) for near in answer] for answer in collection.nearest(queries, k=10, **more)]


def test_it_answers_as_on_the_cpu_through_writes_and_refreshes(
    folder: Path, values: NDArray[np.float32], machine: Any
) -> None:
    writer, reader, host = retr.open(folder), retr.open(folder, device="cuda"), retr.open(folder)
    queries = values[2_500:]
    assert reader.placement == ["ivf-flat on GPU 0, 1"]
    writer.delete([f"d{n}" for n in range(0, 2_000, 3)])
    writer.add(documents(2_000, 2_500), vectors=values[2_000:2_500])
    for collection in (reader, host):
        collection.refresh()
    assert "flat on GPU 0, 1" in reader.placement[-1]
    for where in (None, "n >= 1000", "n < 40", "n between 1990 and 2020"):
        found, true = nearest(reader, queries, where=where), nearest(host, queries, where=where, exact=True)
        scores = [dict(answer) for answer in true]
        assert [len(answer) for answer in found] == [len(answer) for answer in true]
        both = [
            [(name, score) for name, score in answer if name in known]
            for answer, known in zip(found, scores, strict=True)
        ]
        assert np.mean([len(same) / len(answer) for same, answer in zip(both, true, strict=True)]) > 0.95
        assert all(known[name] == score for same, known in zip(both, scores, strict=True) for name, score in same)
    assert nearest(reader, queries, exact=True) == nearest(host, queries, exact=True)
    assert machine.searches


def test_what_a_merge_replaced_leaves_the_gpu(folder: Path, values: NDArray[np.float32], machine: Any) -> None:
    writer, reader = retr.open(folder), retr.open(folder, device="cuda:0")
    writer.delete([f"d{n}" for n in range(1_200)])
    writer.compact()
    reader.refresh()
    gc.collect()
    assert len(reader.placement) == 1
    assert machine.freed == 1
    del reader
    gc.collect()
    assert machine.freed == 2
