"""Reranking answers as Cohere's and Jina's do, in the order that the scorer alone gives."""

from typing import Any

import numpy as np
import pytest

from retr.cli.serving.spans import cut_to_tokens, sentences
from retr.encoders import load_scorer

QUERY = "red fish"
TEXTS = ["a stone falls", "the red fish swims", "cold water", "fish"]


@pytest.fixture
def expected(models: dict[str, str]) -> Any:
    return load_scorer(models["rerank"]).score(QUERY, TEXTS)


def test_cohere_gets_its_fields_best_first(reader: Any, expected: Any) -> None:
    answer = reader.post("/v2/rerank", json={"model": "", "query": QUERY, "documents": TEXTS})
    assert answer.status_code == 404
    answer = reader.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS, "top_n": 3}).json()
    assert [one["index"] for one in answer["results"]] == np.argsort(-expected).tolist()[:3]
    scores = [one["relevance_score"] for one in answer["results"]]
    np.testing.assert_allclose(scores, np.sort(1 / (1 + np.exp(-expected.astype(float))))[::-1][:3], atol=1e-6)
    assert answer["meta"]["api_version"] == {"version": "2"}
    assert answer["id"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_jina_gives_documents_back(reader: Any, expected: Any, path: str) -> None:
    documents = [TEXTS[0], {"text": TEXTS[1], "page": 3}, *TEXTS[2:]]
    answer = reader.post(path, json={"query": QUERY, "documents": documents}).json()
    assert [one["index"] for one in answer["results"]] == np.argsort(-expected).tolist()
    told = {one["index"]: one["document"] for one in answer["results"]}
    assert (told[0], told[1]) == ({"text": TEXTS[0]}, {"text": TEXTS[1], "page": 3})
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > len(TEXTS)
    bare = reader.post(path, json={"query": {"text": QUERY}, "documents": TEXTS, "return_documents": False}).json()
    assert all("document" not in one for one in bare["results"])


def test_raw_scores_are_the_models(reader: Any, expected: Any) -> None:
    answer = reader.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS, "raw_scores": True}).json()
    scores = {one["index"]: one["relevance_score"] for one in answer["results"]}
    np.testing.assert_allclose([scores[place] for place in range(len(TEXTS))], expected, atol=1e-5)


def test_relevant_spans_are_sentences_scored_by_themselves(reader: Any, models: dict[str, str]) -> None:
    text = "Cold water.  The red fish swims!\nA stone falls"
    spans = {"mode": "enabled", "threshold": 0.0}
    answer = reader.post("/v2/rerank", json={"query": QUERY, "documents": [text], "relevant_spans": spans}).json()
    found = answer["results"][0]["relevant_spans"]
    parts = ["Cold water.", "The red fish swims!", "A stone falls"]
    assert sorted(text[one["start"] : one["end"]] for one in found) == sorted(parts)
    alone = dict(zip(parts, load_scorer(models["rerank"]).score(QUERY, parts), strict=True))
    assert [text[one["start"] : one["end"]] for one in found] == sorted(parts, key=lambda part: -alone[part])
    spans = {"mode": "enabled", "threshold": found[0]["score"], "max_spans": 2}
    answer = reader.post("/v2/rerank", json={"query": QUERY, "documents": [text], "relevant_spans": spans}).json()
    assert answer["results"][0]["relevant_spans"] == found[:1]
    spans = {"mode": "enabled", "threshold": 1.0}
    answer = reader.post("/v2/rerank", json={"query": QUERY, "documents": [text], "relevant_spans": spans}).json()
    assert "relevant_spans" not in answer["results"][0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two? Three", ["One.", "Two?", "Three"]),
        ("3.5 mg a day.", ["3.5 mg a day."]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        ("水。火！", ["水。", "火！"]),
        ("a\n\n  b \n", ["a", "b"]),
        ("… !!! \n", []),
        ("", []),
        ("x" * 1500, ["x" * 1000, "x" * 500]),
    ],
)
def test_sentences_end_where_readers_think_so(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == found


def test_documents_are_cut_to_tokens(models: dict[str, str]) -> None:
    scorer = load_scorer(models["rerank"])
    assert cut_to_tokens(scorer, ["the red fish swims", "a"], 2) == ["the red", "a"]
    assert cut_to_tokens(scorer, ["the red fish swims"], 4096) == ["the red fish swims"]

    class Own:
        comparable, fingerprint = True, "own"

        def score(self, query: str, texts: Any) -> Any:
            return np.zeros(len(texts), np.float32)

    assert cut_to_tokens(Own(), ["the red  fish", "a"], 2) == ["the red", "a"]


def test_errors_have_the_shape_of_the_api(client: Any, make_client: Any, models: dict[str, str]) -> None:
    assert list(client.post("/v2/rerank", json={"query": "a"}).json()) == ["message"]
    assert list(client.post("/v1/rerank", json={"query": "a"}).json()) == ["detail"]
    bare = make_client(encoder=models["encoder"])
    refused = bare.post("/v2/rerank", json={"query": "a", "documents": ["b"]})
    assert refused.status_code == 404
    assert "--rerank" in refused.json()["message"]
    for wrong in ({"top_n": 0}, {"documents": []}, {"query": ""}, {"documents": ["a"] * 1001}):
        body = {"query": "a", "documents": ["b"], **wrong}
        assert client.post("/v2/rerank", json=body).status_code == 400, wrong
