"""Collections of clustered vectors without an encoder, and what their files hold."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.collection import Collection
from retr.index.writing.creation import GivenVectors
from retr.retrieval.records import Document

ROWS, DIM = 2_500, 32

MakeVectors = Callable[..., NDArray[np.float32]]
MakeCollection = Callable[[Path, NDArray[np.float32]], Collection]


def vectors(rows: int = ROWS, seed: int = 0, dim: int = DIM) -> NDArray[np.float32]:
    """Unit vectors around 40 centres."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(40, dim))[rng.integers(0, 40, rows)] + rng.normal(size=(rows, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def build(folder: Path, values: NDArray[np.float32]) -> Collection:
    """Document `d7` has the vector of row 7."""
    collection = Collection.create(folder, encoder=GivenVectors(values.shape[1]))
    collection.add([Document(f"d{row}", f"text {row}") for row in range(len(values))], vectors=values)
    return collection


def digest(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def make_vectors() -> MakeVectors:
    """`make_vectors(rows, seed=…, dim=…)`."""
    return vectors


@pytest.fixture(scope="session")
def make_collection() -> MakeCollection:
    """`make_collection(folder, vectors)`."""
    return build


@pytest.fixture(scope="session")
def digest_of() -> Callable[[Path], dict[str, str]]:
    """`digest_of(folder)`."""
    return digest


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of 2,500 vectors that tests only read."""
    folder = tmp_path_factory.mktemp("kept") / "index"
    build(folder, vectors())
    return folder
