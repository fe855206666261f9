"""Rows in files, and teachers that count how often they are asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.distill.labelling.teachers import Question
from retr.encoders.training.rows import Rows, RowsSettings

WORDS = ["apple", "bread", "candle", "dove", "echo", "fern", "goat", "honey", "iris", "jade", "kite", "lamp"]


class Counting:
    """Scores by the lengths of both texts; a listed one adds how many texts it was shown."""

    name, width, fingerprint = "counting", 1, "f"

    def __init__(self, *, comparable: bool = True, factor: float = 1.0, fails_after: int = -1) -> None:
        self.comparable, self.factor, self.fails_after = comparable, factor, fails_after
        self.asked: list[tuple[str, str]] = []

    def answer(self, questions: Sequence[Question]) -> list[np.ndarray]:
        found = []
        for question in questions:
            if 0 <= self.fails_after <= len(self.asked):
                raise KeyboardInterrupt
            self.asked += [(question.query, text) for text in question.texts]
            listed = 0 if self.comparable else 100 * len(question.texts)
            scores = [self.factor * (len(question.query) * 10 + len(text)) + listed for text in question.texts]
            found.append(np.array(scores, np.float32)[:, None])
        return found


@pytest.fixture
def counting() -> Callable[..., Counting]:
    return Counting


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., RowsSettings]:
    """`write_rows(lines, name)` to the settings that read them."""

    def write(lines: Sequence[dict[str, Any]], name: str = "rows") -> RowsSettings:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        negatives = "negatives" if any("negatives" in line for line in lines) else ()
        return RowsSettings(str(path), negatives=negatives, label="label" if "label" in lines[0] else None)

    return write


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    """Twelve rows, each with a positive and two negatives."""
    return [
        {"query": word, "positive": f"{word} pie", "negatives": [WORDS[at - 1], WORDS[at - 2]]}
        for at, word in enumerate(WORDS)
    ]


@pytest.fixture
def rows(write_rows: Callable[..., RowsSettings], lines: list[dict[str, Any]], tmp_path: Path) -> Any:
    found = Rows(write_rows(lines), tmp_path / "read")
    yield found
    found.close()
