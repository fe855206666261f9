"""Reranking by vectors that the index holds: the right ones, in the right order, and only where they are whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.settings import CollectionSettings, SearchSettings
from retr.retrieval.embeddings import Vectors
from retr.retrieval.records import Document

TEXTS = ["red fish swims", "blue stone falls", "cold water", "fish in cold water", "the sky is blue", "stone"]


@dataclass
class Letters:
    """An encoder of counts of letters, and a scorer of the same vectors: the sum of what both have, less lengths."""

    fingerprint: str = "letters"
    dim: int = 8
    similarity: str = "dot"
    reads: str = "letters"
    comparable: bool = True
    encoded: list[str] = field(default_factory=list)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return Vectors(np.array([[text.count(letter) for letter in "aeilorst"] for text in texts], np.float32))

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        return self.encode_queries(texts)

    def score(self, query: str, texts: Sequence[str]) -> Any:
        return self.score_vectors(self.encode_queries([query]).values[0], self.encode_documents(texts).values)

    def score_vectors(self, query: Any, vectors: Any) -> Any:
        return (np.minimum(query, vectors).sum(1) - vectors.sum(1) / 16).astype(np.float32)


def collection(folder: Path, encoder: Any, **settings: Any) -> Collection:
    made = Collection.create(folder, encoder=encoder, settings=CollectionSettings(**settings))
    made.add([Document(f"d{at}", text, title="" if at % 2 else "a tale") for at, text in enumerate(TEXTS)])
    made.add([Document("d9", "water falls")])
    made.delete(["d2"])
    return made


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_stored_vectors_give_the_scores_of_texts_that_are_not_encoded_again(tmp_path: Path, mode: Any) -> None:
    encoder = Letters()
    made = collection(tmp_path / "ix", encoder)
    by_texts = Letters(reads="")
    encoder.encoded.clear()
    settings = SearchSettings(mode=mode, rerank_depth=4)
    queries = ["stone falls", "cold fish"]
    found = made.search_many(queries, 6, settings=settings, rerank=encoder)
    expected = made.search_many(queries, 6, settings=settings, rerank=by_texts)
    assert encoder.encoded == [] and by_texts.encoded
    assert [[(hit.id, hit.score) for hit in hits] for hits in found] == [
        [(hit.id, pytest.approx(hit.score, abs=0.01)) for hit in hits] for hits in expected
    ]


def test_vectors_of_another_encoder_or_cut_ones_are_not_read(tmp_path: Path) -> None:
    encoder = Letters()
    cut = collection(tmp_path / "cut", encoder, dense=DenseSettings(dim=4))
    whole = collection(tmp_path / "whole", encoder)
    for made, scorer in ((cut, Letters()), (whole, Letters(reads="another"))):
        made.search("stone falls", rerank=scorer)
        assert scorer.encoded


def test_a_scorer_without_vectors_is_left_as_it_is(tmp_path: Path) -> None:
    class Plain:
        comparable, fingerprint = True, "plain"

        def score(self, query: str, texts: Sequence[str]) -> Any:
            return np.array([len(text) for text in texts], np.float32)

    made = Collection.create(tmp_path / "ix", encoder=Letters())
    made.add([Document(str(at), text) for at, text in enumerate(TEXTS)])
    found = made.search("stone", 6, rerank=Plain())
    assert [hit.score for hit in found] == sorted((len(text) for text in TEXTS), reverse=True)
