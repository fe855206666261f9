"""Indexes with token vectors: searched in their modes, reranked by their tokens, explained token by token."""

from pathlib import Path
from typing import Any

import pytest

from retr.cli.serving.service import Service
from retr.cli.serving.settings import ServeSettings
from retr.retrieval.errors import BadInput


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
