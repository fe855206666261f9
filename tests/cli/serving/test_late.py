"""Indexes with token vectors: searched in their modes, reranked by their tokens, explained token by token."""

from pathlib import Path
from typing import Any

import pytest

import retr
from retr.cli.serving.service import Service
from retr.cli.serving.settings import ServeSettings
from retr.retrieval.errors import BadInput, NotFound


@pytest.mark.parametrize(
    ("kind", "modes", "embeds"),
    [("late", ["hybrid", "late", "lexical"], 404), ("both", ["hybrid", "dense", "late", "lexical"], 200)],
)
def test_an_index_with_token_vectors_is_served(
    make_client: Any,
    late_indexes: Path,
    kind: str,
    modes: list[str],
    embeds: int,
) -> None:
    client = make_client(index=late_indexes / kind)
    told = client.get("/v1/index").json()
    assert (told["modes"], told["reranker"]) == (modes, "late")
    for mode in modes:
        assert client.post("/v1/search", json={"query": "red fish", "mode": mode}).json()["hits"], mode
    asked = {"query": "red fish", "mode": "late", "explain": True, "candidates": 100}
    hit = client.post("/v1/search", json=asked).json()["hits"][0]
    tokens = hit["explain"]["late"]["tokens"]
    assert any(one["query"] == "red" and one["query_span"] == [0, 3] for one in tokens)
    reranked = client.post("/v1/search", json={"query": "red fish", "mode": "lexical", "rerank": True}).json()["hits"]
    late = client.post("/v1/search", json={"query": "red fish", "mode": "late"}).json()["hits"]
    scores = {hit["id"]: hit["score"] for hit in late}
    assert all(hit["score"] == pytest.approx(scores[hit["id"]], abs=1e-4) for hit in reranked)
    assert client.post("/v1/embeddings", json={"input": "a"}).status_code == embeds


def test_an_encoder_of_token_vectors_alone_is_refused(late_indexes: Path) -> None:
    with pytest.raises(BadInput, match="a vector a token"):
        Service(ServeSettings(encoder=f"late={late_indexes / 'model'}"))


def test_tokens_rerank_as_the_server_was_told(make_client: Any, late_indexes: Path) -> None:
    client = make_client(index=late_indexes / "late", rerank="late:ot")
    assert client.get("/ready").json()["reranker"] == client.get("/v1/index").json()["reranker"] == "late:ot"
    asked = {"query": "red fish", "mode": "lexical", "rerank": True}
    found = client.post("/v1/search", json=asked).json()["hits"]
    by_hand = retr.open(late_indexes / "late").search("red fish", mode="lexical", rerank="late:ot")
    assert [(hit["id"], hit["score"]) for hit in found] == [(hit.id, pytest.approx(hit.score)) for hit in by_hand]


def test_tokens_that_are_not_there_are_told_at_the_start(late_indexes: Path, index: Path, models: Any) -> None:
    with pytest.raises(BadInput, match="no token vectors"):
        Service(ServeSettings(index=index, rerank="late"))
    with pytest.raises(NotFound, match="No scoring named 'best'"):
        Service(ServeSettings(index=late_indexes / "late", rerank="late:best"))
    with pytest.raises(BadInput, match="--matryoshka 999 is more than the encoder's 32"):
        Service(ServeSettings(encoder=models["encoder"], matryoshka=(16, 999)))
