"""Rows of pairs with labels, and the settings that read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retr.encoders.training.rows import RowsSettings

TEXTS = ["the red fish swims", "a stone falls", "cold water", "blue sky", "in the sky", "red stone", "query water", "a"]
PAIRS = [(text, TEXTS[(at * 3 + 1) % len(TEXTS)]) for at, text in enumerate(TEXTS)]


@pytest.fixture
def write_pairs(tmp_path: Path) -> Callable[..., RowsSettings]:
    """`write_pairs(labels, name)`: a row for each of PAIRS, with the label of its place."""

    def write(labels: Any = None, name: str = "pairs") -> RowsSettings:
        path = tmp_path / f"{name}.jsonl"
        values = labels or [at % 2 for at in range(len(PAIRS))]
        rows = [{"query": a, "positive": b, "label": label} for (a, b), label in zip(PAIRS, values, strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return RowsSettings(str(path), label="label")

    return write
