"""Token vectors made by rule, and indexes over them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.disk.fsio import Disk
from retr.index.late.codec import Codec
from retr.index.late.index import LateIndex
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.part import LatePart, write_part
from retr.index.late.settings import LateSettings
from retr.index.late.training import train_codec
from retr.retrieval.embeddings import Floats, TokenVectors

Made = Callable[..., LateIndex]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Documents and queries, and what exact MaxSim gives: scores float64 [queries, documents]."""

    documents: TokenVectors
    queries: TokenVectors
    exact: NDArray[np.float64]

    def best(self, k: int, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        scores = self.exact if allowed is None else np.where(allowed, self.exact, -np.inf)
        return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def unit(values: NDArray[np.float64]) -> Floats:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def ragged(parts: list[Floats]) -> TokenVectors:
    offsets = np.cumsum([0, *(len(part) for part in parts)]).astype(np.int64)
    return TokenVectors(np.concatenate(parts).astype(np.float32), offsets)


def take(tokens: TokenVectors, rows: NDArray[np.int64] | list[int]) -> TokenVectors:
    whole = list(tokens)
    return ragged([whole[row] for row in rows])


def maxsim(queries: TokenVectors, documents: TokenVectors) -> NDArray[np.float64]:
    """In float64, [queries, documents]."""
    values = documents.values.astype(np.float64)
    each = [np.maximum.reduceat(values @ query.T, documents.offsets[:-1], axis=0).sum(axis=1) for query in queries]
    return np.array(each)


def tokens_of_words(documents: int, *, queries: int = 60, dim: int = 128, seed: int = 0) -> World:
    """Tokens are words, moved by their document and by noise; a query is some of a document's tokens, moved again.

    Ten documents have a vocabulary in common, each to another share. With so much noise a token's cosine with its
    centroid is about 0.8, as was measured on real token vectors.
    """
    rng = np.random.default_rng(seed)
    words = unit(rng.normal(size=(500, dim)))
    made = []
    for row in range(documents):
        own = np.random.default_rng(row // 10).integers(0, 500, 20)
        length = max(8, rng.poisson(48))
        mixed = np.where(
            rng.random(length) < 0.05 + 0.1 * (row % 10), rng.choice(own, length), rng.integers(0, 500, length)
        )
        moved = words[mixed] + 0.3 * unit(rng.normal(size=dim)) + 0.5 * unit(rng.normal(size=(length, dim)))
        made.append(unit(moved))
    asked = []
    for row in rng.choice(documents, queries, replace=False):
        tokens = made[row][rng.integers(len(made[row]), size=32)]
        asked.append(unit(tokens + 0.5 * unit(rng.normal(size=tokens.shape))))
    corpus, questions = ragged(made), ragged(asked)
    return World(corpus, questions, maxsim(questions, corpus))


@pytest.fixture(scope="session")
def world() -> World:
    return tokens_of_words(800)


@pytest.fixture(scope="session")
def codecs(world: World) -> dict[int, Codec]:
    """By bits; 80 stands for 8 bits with centroids."""
    tokens = len(world.documents.values)
    wanted = {8: LateSettings(bits=8), 80: LateSettings(bits=8, centroids=512, rounds=3)}
    wanted |= {bits: LateSettings(bits=bits, centroids=512, rounds=3) for bits in (4, 2)}
    return {bits: train_codec(world.documents.values, tokens, settings) for bits, settings in wanted.items()}


def write(folder: Path, documents: TokenVectors, codec: Codec, **options: int) -> LatePart:
    """One part of these documents, written and opened."""
    folder.mkdir(parents=True)
    _, facts = write_part(Disk(), folder, [documents], codec, **options)
    return LatePart.open(folder, codec, facts, chosen_kernels())


@pytest.fixture(scope="session")
def made(world: World, codecs: dict[int, Codec], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The world's index of some bits, of one part."""
    held: dict[int, LateIndex] = {}

    def index(bits: int) -> LateIndex:
        if bits not in held:
            part = write(tmp_path_factory.mktemp("late") / str(bits), world.documents, codecs[bits])
            held[bits] = LateIndex(codecs[bits], [part])
        return held[bits]

    return index
