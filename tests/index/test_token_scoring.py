"""`late:ot` and its like: hits in the order of another scoring of the tokens that the index holds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.settings import SearchSettings
from retr.index.token_scoring import by_stored_tokens
from retr.index.writing.creation import Named
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.records import Document
from retr.retrieval.transport import Transport

from .conftest import TokenEncoder, WordEncoder

TEXTS = {"a": "red fish", "b": "red fish swims far away in the deep blue sea", "c": "fish red", "d": "a bird"}
EVERY = SearchSettings(mode="dense", rerank_depth=9)


class Counting:
    """A scoring of its own: how many tokens a document has."""

    def score_tokens(self, query: Floats, documents: TokenVectors) -> Floats:
        return np.diff(documents.offsets).astype(np.float32)


class Knowing(TokenEncoder):
    """An encoder that brings a scoring."""

    def scoring(self, name: str) -> Counting:
        if name != "count":
            raise NotFound(name)
        return Counting()


def made(folder: Path, encoder: Any) -> Collection:
    collection = Collection.create(folder, encoder=WordEncoder(), late=Named(encoder, "late=tokens"))
    collection.add([Document(id, text) for id, text in TEXTS.items()])
    return collection


def test_transport_reranks_by_stored_tokens_and_encodes_no_text(tmp_path: Path) -> None:
    encoder = TokenEncoder()
    collection = made(tmp_path / "i", encoder)
    encoder.encoded.clear()
    hits = collection.search("red fish", 9, settings=EVERY, rerank="late:ot")
    assert encoder.encoded == []
    query = encoder.encode_queries(["red fish"]).values
    expected = Transport().score_tokens(query, TokenEncoder().encode_documents(list(TEXTS.values())))
    found = {hit.id: hit.score for hit in hits}
    np.testing.assert_allclose([found[id] for id in TEXTS], expected, atol=0.02)
    assert {hit.id for hit in hits[:2]} == {"a", "c"}
    tokens = {hit.id: hit.score for hit in collection.search("red fish", 9, settings=EVERY, rerank="late")}
    assert abs(tokens["a"] - tokens["b"]) < 0.03, "to MaxSim what else a text says is nothing"
    assert found["a"] - found["b"] > 0.3, "to transport it has to be matched"
    assert collection.search("red fish", 9, settings=EVERY, rerank="late:maxsim")[0].score == pytest.approx(tokens["a"])


def test_what_is_said_of_maxsims_matches_is_not_said_of_another_scoring(tmp_path: Path) -> None:
    collection = made(tmp_path / "i", TokenEncoder())
    settings = SearchSettings(mode="dense", explain=True)
    explain = collection.search("red fish", 1, settings=settings, rerank="late:ot")[0].explain
    assert explain is not None and "late" not in explain and explain["rerank"]["score"] > -0.1


def test_an_encoder_may_bring_scorings_of_its_own(tmp_path: Path) -> None:
    collection = made(tmp_path / "i", Knowing())
    hits = collection.search("red fish", 9, settings=EVERY, rerank="late:count")
    assert (hits[0].id, hits[0].score) == ("b", 11.0)


def test_what_is_no_scoring_is_refused_by_name(tmp_path: Path) -> None:
    collection = made(tmp_path / "i", TokenEncoder())
    with pytest.raises(NotFound, match="maxsim, ot"):
        collection.search("red", rerank="late:xpool")
    with pytest.raises(BadInput, match="late:SCORING for the tokens"):
        collection.search("red", rerank="cross")
    assert [by_stored_tokens(one) for one in ("late", "late:ot", "late=my:ot", "lately", None)] == [
        True,
        True,
        *[False] * 3,
    ]
