"""Texts that say where they point: the last number of a text is its angle in degrees, so scores are worked by hand."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.records import Document


class Angles:
    """A text's unit vector lies at the last number in it, or else at 45 degrees."""

    dim = 2
    similarity = "cosine"
    fingerprint = "angles"

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        angles = np.radians([float((re.findall(r"\d+", text) or ["45"])[-1]) for text in texts])
        return Vectors(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32).reshape(-1, 2))

    encode_documents = encode_queries


class Near:
    """Scores a text by minus its angle; may be told to be listwise, or to give broken scores."""

    fingerprint = "near"

    def __init__(self, comparable: bool = True, add: float = 0.0) -> None:
        self.comparable, self._add = comparable, add
        self.calls: list[int] = []

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        self.calls.append(len(texts))
        start = float(query.split()[-1])
        return np.array([-abs(float(text.split()[-1]) - start) + self._add for text in texts], np.float32)


@pytest.fixture
def near() -> type[Near]:
    return Near


@pytest.fixture
def make_index(tmp_path: Path) -> Callable[..., Collection]:
    """`make_index({id: text})`: a collection of angles."""

    def make(texts: dict[str, str], name: str = "index") -> Collection:
        collection = Collection.create(tmp_path / name, encoder=Angles())
        collection.add([Document(id, text) for id, text in texts.items()])
        return collection

    return make
