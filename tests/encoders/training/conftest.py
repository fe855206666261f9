"""A student of no transformer, rows it can learn, and jobs of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("torch") is not None:  # without it the tests beside this file are skipped, each by name
    import torch
    from safetensors.torch import save_file
    from torch import Tensor

    from retr.encoders.objectives.contrastive import InfoNCE
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import TrainSettings

WORDS = ["apple", "bread", "candle", "dove", "echo", "fern", "goat", "honey", "iris", "jade", "kite", "lamp"]


class Letters:
    """Counts of letters through two layers with dropout; saves its weights alone."""

    def __init__(self, seed: int = 5, dropout: float = 0.2) -> None:
        torch.manual_seed(seed)
        parts = [torch.nn.Linear(26, 16), torch.nn.LayerNorm(16), torch.nn.Dropout(dropout), torch.nn.Linear(16, 8)]
        self.module = torch.nn.Sequential(*parts)
        self.device = torch.device("cpu")
        self.batches = 0
        self.fails_at = -1

    def encode_queries(self, texts: Sequence[str]) -> Tensor:
        self.batches += self.module.training
        if self.batches == self.fails_at:
            raise KeyboardInterrupt
        counts = [[text.count(chr(97 + letter)) for letter in range(26)] for text in texts]
        vectors: Tensor = self.module(torch.tensor(counts, dtype=torch.float32))
        return vectors

    def encode_documents(self, texts: Sequence[str]) -> Tensor:
        self.batches -= self.module.training
        return self.encode_queries(texts)

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Tensor]:
        return [
            (self.encode_queries([query]) * self.encode_documents(texts)).sum(dim=1)
            for query, texts in zip(queries, candidates, strict=True)
        ]

    def save(self, folder: Path) -> None:
        save_file(self.module.state_dict(), folder / "model.safetensors")


@pytest.fixture
def letters() -> Callable[..., Letters]:
    return Letters


@pytest.fixture
def rows(tmp_path: Path) -> RowsSettings:
    import json

    path = tmp_path / "rows.jsonl"
    following = WORDS[1:] + WORDS[:1]
    lines = [{"query": word, "positive": after} for word, after in zip(WORDS, following, strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RowsSettings(str(path))


@pytest.fixture
def make_job(rows: RowsSettings) -> Callable[..., TrainingJob]:
    """`make_job(student, validation=…, **settings)`: eight steps of batches of four."""

    def make(student: Any = None, validation: Any = None, **settings: Any) -> TrainingJob:
        told = {"steps": 8, "batch_size": 4, "learning_rate": 1e-2, "log_every": 1, "accelerator": "cpu", **settings}
        return TrainingJob(student or Letters(), rows, InfoNCE(), TrainSettings(**told), validation)

    return make
