"""A query asked again is not encoded again, and gets the same vector."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import retr
from retr.index.remembering import QueryVectors
from retr.retrieval.embeddings import Vectors


class Counting:
    """An encoder that counts what it is asked; a text's vector is its length and 1."""

    dim, similarity, fingerprint = 2, "dot", "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode_queries(self, texts: Any) -> Vectors:
        self.asked += texts
        return Vectors(np.array([[len(text), 1] for text in texts], np.float32).reshape(-1, 2))

    encode_documents = encode_queries


def encode(asked: list[str]) -> Any:
    return lambda texts: asked.extend(texts) or np.array([[len(text)] for text in texts], np.float32)


def test_only_what_is_new_is_encoded_and_once() -> None:
    held, asked = QueryVectors(), []
    assert held.of(["a", "bb", "a"], encode(asked)).ravel().tolist() == [1, 2, 1]
    assert held.of(["bb", "ccc"], encode(asked)).ravel().tolist() == [2, 3]
    assert asked == ["a", "bb", "ccc"]


def test_the_longest_unused_goes_first() -> None:
    held, asked = QueryVectors(capacity=2), []
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        held.of([text], encode(asked))
    assert asked == ["a", "bb", "ccc", "bb"]
    assert held.of(["1", "22", "333"], encode(asked)).ravel().tolist() == [1, 2, 3]
    assert len(held) == 2


def test_threads_get_their_own_answers() -> None:
    held = QueryVectors(capacity=5)
    texts = ["x" * (n % 11 + 1) for n in range(400)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: float(held.of([text], encode([]))[0, 0]), texts))
    assert found == [len(text) for text in texts]


def test_a_collection_encodes_a_query_once(tmp_path: Path) -> None:
    encoder = Counting()
    collection = retr.create(tmp_path / "index", encoder=encoder)
    collection.add([retr.Document("a", "some text"), retr.Document("b", "more")])
    encoder.asked.clear()
    first = collection.search("what?", mode="dense")
    assert [hit.id for hit in collection.search("what?", mode="dense")] == [hit.id for hit in first]
    assert encoder.asked == ["what?"]
    collection.add([retr.Document("c", "a much longer text than the others")])
    assert collection.search("what?", mode="dense")[0].id == "c"
    assert encoder.asked.count("what?") == 1
