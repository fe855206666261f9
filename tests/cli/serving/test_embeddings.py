"""`/v1/embeddings` answers as OpenAI's does, with the vectors that the encoder gives."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder

TEXTS = ["the red fish", "a stone falls from the sky"]


def test_vectors_are_the_encoders_in_order(reader: Any, models: dict[str, str]) -> None:
    answer = reader.post("/v1/embeddings", json={"input": TEXTS, "model": models["encoder"]}).json()
    assert (answer["object"], answer["model"]) == ("list", models["encoder"])
    assert [(one["object"], one["index"]) for one in answer["data"]] == [("embedding", 0), ("embedding", 1)]
    found = np.array([one["embedding"] for one in answer["data"]], np.float32)
    encoder = load_encoder(models["encoder"])
    np.testing.assert_allclose(found, encoder.encode_documents(TEXTS).values, atol=1e-6)
    assert answer["usage"] == {"prompt_tokens": 13, "total_tokens": 13}


def test_base64_is_little_endian_float32(reader: Any) -> None:
    floats = reader.post("/v1/embeddings", json={"input": "the red fish"}).json()["data"][0]["embedding"]
    coded = reader.post("/v1/embeddings", json={"input": "the red fish", "encoding_format": "base64"}).json()
    found = np.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4")
    np.testing.assert_array_equal(found, np.array(floats, np.float32))


def test_queries_get_the_query_prompt(make_client: Any, make_bi: Any) -> None:
    folder = str(make_bi(settings={"prompts": {"query": "query: "}}))
    asked = {"input": ["red fish"], "input_type": "query"}
    found = make_client(encoder=folder).post("/v1/embeddings", json=asked).json()["data"][0]["embedding"]
    np.testing.assert_allclose(found, load_encoder(folder).encode_queries(["red fish"]).values[0], atol=1e-6)


def test_shorter_vectors_come_from_models_trained_for_them_and_are_unit(make_client: Any, make_bi: Any) -> None:
    folder = Path(make_bi(seed=3))
    (folder / "retr.json").write_text('{"bi": {"kind": "bi", "matryoshka": [8]}}')
    client = make_client(encoder=str(folder), matryoshka=(16,))
    whole = np.array(client.post("/v1/embeddings", json={"input": "fish"}).json()["data"][0]["embedding"])
    for dim in (8, 16, 32):
        answer = client.post("/v1/embeddings", json={"input": "fish", "dimensions": dim}).json()
        expected = whole[:dim] / np.linalg.norm(whole[:dim])
        np.testing.assert_allclose(answer["data"][0]["embedding"], expected, atol=1e-6)
    refused = client.post("/v1/embeddings", json={"input": "fish", "dimensions": 9})
    assert refused.status_code == 400
    assert "this model gives 8 or 16 or 32" in refused.json()["error"]["message"]


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_are_refused_with_the_reason(reader: Any, tokens: Any) -> None:
    refused = reader.post("/v1/embeddings", json={"input": tokens})
    assert refused.status_code == 400
    assert "check_embedding_ctx_length=False" in refused.json()["error"]["message"]


def test_texts_that_are_cut_are_counted(reader: Any) -> None:
    answer = reader.post("/v1/embeddings", json={"input": ["fish", "fish " * 100]})
    assert answer.headers["X-Retr-Truncated"] == "1"
    assert "X-Retr-Truncated" not in reader.post("/v1/embeddings", json={"input": "fish"}).headers


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "input: Field required"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", 5]}, "input"),
        ({"input": ["a"] * 2049}, "2048"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": True}, "dimensions"),
    ],
)
def test_what_is_wrong_is_told_as_openai_does(reader: Any, body: Any, says: str) -> None:
    refused = reader.post("/v1/embeddings", json=body)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["code"]) == (400, "invalid_request_error", "invalid_request")
    assert says in error["message"]


def test_an_unknown_model_is_told_which_there_are(reader: Any, models: dict[str, str]) -> None:
    refused = reader.post("/v1/embeddings", json={"input": "a", "model": "text-embedding-3-small"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert Path(models["encoder"]).name in refused.json()["error"]["message"]


def test_a_model_may_have_another_name(make_client: Any, models: dict[str, str]) -> None:
    client = make_client(encoder=models["encoder"], names=("text-embedding-3-small",))
    asked = {"input": "a", "model": "text-embedding-3-small"}
    assert client.post("/v1/embeddings", json=asked).json()["model"] == "text-embedding-3-small"
    assert "text-embedding-3-small" in [one["id"] for one in client.get("/v1/models").json()["data"]]


def test_a_model_with_a_vector_a_token_gives_no_embeddings(make_client: Any, tmp_path: Path) -> None:
    import retr

    retr.create(tmp_path / "words", encoder=None).add([retr.Document("a", "red fish")])
    client = make_client(index=tmp_path / "words")
    refused = client.post("/v1/embeddings", json={"input": "a"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_model")
    assert client.post("/v1/search", json={"query": "fish", "mode": "lexical"}).json()["hits"][0]["id"] == "a"
