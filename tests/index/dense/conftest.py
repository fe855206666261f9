"""Clustered vectors, parts written from them, and the brute force that answers are compared with."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.parts import DensePart, write_part
from retr.index.dense.settings import DenseSettings
from retr.index.disk.fsio import Disk

DIM = 32
ROWS = 3_000
KINDS = ("flat", "pq", "ivf-flat", "ivf-sq8", "ivf-pq", "hnsw", "rabitq")
STORAGES = ("float32", "float16", "int8", "binary")

Build = Callable[..., tuple[DensePart, dict[str, Any]]]


def clustered(rows: int = ROWS, dim: int = DIM, *, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors around 40 centres, which are the same for every seed."""
    centres = np.random.default_rng(99).normal(size=(40, dim))
    random = np.random.default_rng(seed)
    values = centres[random.integers(0, 40, rows)] + random.normal(size=(rows, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def write(folder: Path, values: NDArray[np.float32], settings: DenseSettings, **more: Any) -> dict[str, Any]:
    """Write a part in three blocks of unlike length; gives its facts."""
    folder.mkdir(exist_ok=True)
    blocks = (values[:7], values[7:1500], values[1500:])
    _, facts = write_part(Disk(), folder, blocks, values.shape[1], settings, **more)
    return facts


def reopened(folder: Path, values: NDArray[np.float32], settings: DenseSettings) -> DensePart:
    """Write a part and open it."""
    facts = write(folder, values, settings)
    return DensePart.open(folder, len(values), values.shape[1], facts)


def all_vectors(part: DensePart) -> NDArray[np.float32]:
    return np.concatenate([np.empty((0, part.dim), np.float32), *part.blocks(1000)])


def true_scores(part: DensePart, queries: NDArray[np.float32]) -> NDArray[np.float64]:
    """Every inner product with the vectors as stored, in float64."""
    return queries.astype(np.float64) @ all_vectors(part).astype(np.float64).T


def brute_force(scores: NDArray[np.float64], k: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The k best allowed rows a query, ties by the lower row, padded with -1."""
    rows = np.flatnonzero(allowed)
    best = rows[np.argsort(-scores[:, rows], axis=1, kind="stable")[:, :k]]
    return np.pad(best, ((0, 0), (0, k - best.shape[1])), constant_values=-1)


def some(rows: int, matching: int, *, seed: int = 3) -> NDArray[np.bool_]:
    """A filter that so many rows pass."""
    allowed = np.zeros(rows, np.bool_)
    allowed[np.random.default_rng(seed).choice(rows, matching, replace=False)] = True
    return allowed


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """The part of a kind and a storage over the same vectors, written once a session."""
    made: dict[tuple[str, str], DensePart] = {}

    def part(kind: str, storage: str = "float32") -> DensePart:
        if (kind, storage) not in made:
            settings = DenseSettings(kind=kind, storage=storage)  # type: ignore[arg-type]
            made[kind, storage] = reopened(tmp_path_factory.mktemp("part"), clustered(), settings)
        return made[kind, storage]

    yield part


@pytest.fixture(scope="session")
def queries() -> NDArray[np.float32]:
    """Vectors that are in no part."""
    return clustered(24, seed=8)
