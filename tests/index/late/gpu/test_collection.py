"""A whole collection with its tokens on a GPU: it answers as on the CPU through writes, refreshes and merges."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.late import segment
from retr.index.late.settings import LateSettings
from retr.index.settings import CollectionSettings, SearchSettings
from retr.retrieval.records import Document

from ...conftest import TokenEncoder
from .conftest import ONE, Card

WORDS = ["red", "blue", "green", "fish", "bird", "frog", "swims", "flies", "jumps", "sea", "sky", "pond"]
QUERIES = ["red fish swims", "a bird flies in the blue sky", "pond"]


def documents(start: int, stop: int) -> list[Document]:
    rng = np.random.default_rng(start)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 9)).tolist()) for _ in range(start, stop)]
    return [Document(f"d{n}", text, metadata={"n": n}) for n, text in zip(range(start, stop), texts, strict=True)]


def opened(folder: Path, device: Any = None) -> Collection:
    return Collection.open(folder, load=lambda _: TokenEncoder(), device=device)


def test_it_answers_as_on_the_cpu_whatever_is_written(
    card: Card, tmp_path: Path, token_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = CollectionSettings(late=LateSettings(bits=4, centroids=8))
    writer = Collection.create(tmp_path / "index", encoder=token_encoder, settings=settings)
    writer.add(documents(0, 25))
    reader, host = opened(writer.folder, ONE), opened(writer.folder)
    assert reader.placement == ["tokens of 8 bits on GPU 0"] and host.placement == ["CPU"]

    def check(*, places: list[str]) -> None:
        for one in (reader, host):
            one.refresh()
        assert reader.placement == places
        for where in (None, "n >= 20", "n = 7", "n > 100"):
            for candidates in (None, 12):
                chosen = SearchSettings(mode="late", where=where, candidates=candidates)
                assert reader.search_many(QUERIES, 8, settings=chosen) == host.search_many(QUERIES, 8, settings=chosen)

    check(places=["tokens of 8 bits on GPU 0"])
    writer.add(documents(25, 40))
    writer.delete(["d3", "d17", "d30"])
    check(places=["tokens of 8 bits on GPU 0"] * 2)
    monkeypatch.setattr(segment, "SCANNED", 0)
    writer.compact(late=LateSettings(bits=4, centroids=8))
    check(places=["tokens of 4 bits on GPU 0"])
    writer.delete(["d5"])
    writer.add(documents(40, 50))
    check(places=["tokens of 4 bits on GPU 0"] * 2)
    hit = reader.search("red fish", 1, settings=SearchSettings(mode="late", explain=True))[0]
    assert hit.explain is not None
    assert [plan["plan"] for plan in hit.explain["late"]["plan"]] == ["every document scored, on GPU 0"]
    assert sum(one["similarity"] for one in hit.explain["late"]["tokens"]) == pytest.approx(hit.score, abs=1e-4)
