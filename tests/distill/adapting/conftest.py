"""A corpus in which both sentences of a document share a code that no other document has."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from retr.retrieval.records import Document

WORDS = ["the", "red", "blue", "fish", "swims", "in", "cold", "water", "a", "stone", "falls", "from", "sky"]
CODES = [f"{one}{two}" for one in "bcdfghkm" for two in "vwxyz"]


@pytest.fixture
def documents() -> Callable[..., list[Document]]:
    """`documents(count, title)` to documents d0, d1, …"""

    def make(count: int = 60, title: str = "") -> list[Document]:
        random = Random(3)

        def sentence(code: str) -> str:
            return f"The {' '.join(random.sample(WORDS, 3))} {code}."

        codes = [CODES[number % len(CODES)] + "abe"[number // len(CODES)] for number in range(count)]
        return [Document(f"d{at}", f"{sentence(code)} {sentence(code)}", title) for at, code in enumerate(codes)]

    return make


@pytest.fixture
def small() -> dict[str, Any]:
    """Settings that take a second."""
    return {"steps": 4, "batch_size": 4, "learning_rate": 1e-3, "negatives": 2, "depth": 8, "accelerator": "cpu"}
