"""Students of no network: one that says given tensors, and one small enough for every gradient to be checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("torch") is not None:  # without it the tests beside this file are skipped, each by name
    import torch
    from torch import Tensor


class Given:
    """Says the tensors it was made with: queries [rows, dim], documents [texts, dim], scores by row."""

    def __init__(
        self, queries: Tensor | None = None, documents: Tensor | None = None, scores: Sequence[Tensor] = ()
    ) -> None:
        self.module = torch.nn.Module()
        self.device = torch.device("cpu")
        self.queries, self.documents, self.scores = queries, documents, scores

    def encode_queries(self, texts: Sequence[str]) -> Tensor:
        assert self.queries is not None and len(texts) == len(self.queries)
        return self.queries

    def encode_documents(self, texts: Sequence[str]) -> Tensor:
        assert self.documents is not None and len(texts) == len(self.documents)
        return self.documents

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Tensor]:
        assert [len(texts) for texts in candidates] == [len(row) for row in self.scores]
        return list(self.scores)

    def save(self, folder: Path) -> None:
        raise NotImplementedError


class Letters:
    """Counts of letters through two layers, in float64; dropout where asked."""

    def __init__(self, dim: int = 6, dropout: float = 0.0) -> None:
        torch.manual_seed(5)
        layers = [torch.nn.Linear(26, 16), torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(16, dim)]
        self.module = torch.nn.Sequential(*layers).double()
        self.device = torch.device("cpu")
        self.largest = 0

    def encode_queries(self, texts: Sequence[str]) -> Tensor:
        self.largest = max(self.largest, len(texts))
        counts = [[text.count(chr(97 + letter)) for letter in range(26)] for text in texts]
        vectors: Tensor = self.module(torch.tensor(counts, dtype=torch.float64))
        return vectors

    encode_documents = encode_queries

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Tensor]:
        return [
            (self.encode_queries([query]) * self.encode_documents(texts)).sum(dim=1)
            for query, texts in zip(queries, candidates, strict=True)
        ]

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def given() -> type[Given]:
    return Given


@pytest.fixture
def letters() -> Callable[..., Letters]:
    return Letters
