"""The protocol itself: what an adapter must do, over an index folder and over PostgreSQL."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from retr.index.settings import CollectionSettings
from retr.index.stores.copying import kept_in
from retr.index.stores.words import counted
from retr.index.writing.creation import GivenVectors, encoder_facts
from retr.retrieval.errors import BadInput
from retr.retrieval.filters import parse
from retr.retrieval.records import Document
from retr.retrieval.store import DenseQuery, StoredDocument, StoreFacts, VectorStore, WordsQuery, place_of, row_of
from retr.retrieval.store_words import WordStatistics, kept_length

UNIT = np.eye(4, dtype=np.float32)


def stored(id: str, text: str, vectors: np.ndarray, n: int = 0) -> StoredDocument:
    """A document of two passages: its first word, and the rest."""
    cut = text.index(" ")
    spans = [(0, cut), (cut + 1, len(text))]
    return StoredDocument(
        Document(id, text, metadata={"n": n}), spans, id.encode().ljust(16), text.encode().ljust(16), vectors
    )


A = stored("a", "red fish", UNIT[:2], 1)
B = stored("b", "blue fish", UNIT[2:], 2)


@pytest.fixture
def store(home: str, request: pytest.FixtureRequest, tmp_path: Path) -> VectorStore:
    settings = CollectionSettings()
    facts = asdict(encoder_facts(GivenVectors(4), "", settings.dense))
    made = kept_in(tmp_path / "kept" if home == "folder" else request.getfixturevalue("address"))
    assert not made.exists()
    made.create(StoreFacts(1, created="today", encoder=facts, settings=asdict(settings)))
    assert made.exists()
    return made


def test_what_is_written_is_read(store: VectorStore) -> None:
    assert store.upsert([A, B]) == 2
    facts = store.facts
    assert (facts.generation, facts.documents, facts.passages) == (2, 2, 4)
    numbers = store.numbers_of(["b", "a", "c"])
    assert [id for _, id in store.ids()] == ["a", "b"]
    assert numbers["a"] < numbers["b"]
    assert store.ids_of(numbers.values()) == {numbers["a"]: "a", numbers["b"]: "b"}
    found = store.get([numbers["b"]])[numbers["b"]]
    assert (found.document, list(found.spans), found.vectors) == (B.document, list(B.spans), None)
    assert store.hashes([numbers["a"]]) == {numbers["a"]: (b"a".ljust(16), b"red fish".ljust(16))}
    rows = np.array([row_of(numbers["b"], 1), row_of(numbers["a"], 0)], np.int64)
    assert np.array_equal(store.vectors(rows), UNIT[[3, 0]])
    assert (store.count(parse("n = 2")), store.count()) == (1, 2)
    assert store.check()[1] == []


def test_a_write_replaces_and_removes_in_one_generation(store: VectorStore) -> None:
    store.upsert([A, B])
    changed = stored("a", "grey stone", UNIT[1:3], 3)
    assert store.upsert([changed], [store.numbers_of(["b"])["b"]]) == 3
    assert [id for _, id in store.ids()] == ["a"]
    assert store.get(store.numbers_of(["a"]).values()).popitem()[1].document == changed.document
    assert (store.delete(["a", "b"]), store.facts.documents, store.facts.passages) == (1, 0, 0)


def test_passages_are_found_by_vectors_and_by_words(store: VectorStore) -> None:
    store.upsert([A, B])
    numbers = store.numbers_of(["a", "b"])
    near = store.search(DenseQuery(UNIT[3] * np.float32(0.8) + UNIT[0] * np.float32(0.6)), 2)
    assert near.rows.tolist() == [row_of(numbers["b"], 1), row_of(numbers["a"], 0)]
    assert near.scores.tolist() == pytest.approx([0.8, 0.6])
    assert near.documents.tolist() == [numbers["b"], numbers["a"]]
    assert len(store.search(DenseQuery(UNIT[3]), 9, parse("n = 1")).rows) == 2
    fish = store.search(WordsQuery("fish", {"fish": 1}), 9)
    assert [place_of(row) for row in fish.rows.tolist()] == [(numbers["a"], 1), (numbers["b"], 1)]
    # Two of four passages, each as long as the average: ln(1 + 2.5 / 2.5) x 2.2 / 2.2.
    assert fish.scores.tolist() == pytest.approx([np.log(2)] * 2)
    assert store.explain(WordsQuery("fish", {"fish": 1}), int(fish.rows[0]))[0]["term"] == "fish"
    assert not len(store.search(WordsQuery("bird", {"bird": 1}), 9).rows)


def test_only_what_is_empty_is_loaded_in_bulk(store: VectorStore) -> None:
    store.bulk_load(iter([A, B]))
    assert store.facts.documents == 2
    with pytest.raises(BadInput, match="already"):
        store.bulk_load(iter([A]))
    with pytest.raises(BadInput):
        store.create(StoreFacts(1))


def test_terms_are_counted_with_the_title_and_their_stems() -> None:
    document = Document("a", "Fishes swim.", "A fish")
    assert counted(StoredDocument(document, [(0, 12)], b"", b""), "english") == [{"fish": 2, "swim": 1}]


def test_weights_are_those_of_bm25() -> None:
    statistics = WordStatistics(passages=10, length=50, holding={"a": 3})
    assert statistics.idf("a") == pytest.approx(np.log(1 + 7.5 / 3.5))
    assert statistics.weights({"a": 2, "none": 1}) == {"a": pytest.approx(2 * 2.2 * np.log(1 + 7.5 / 3.5))}
    assert statistics.norm() == pytest.approx((0.3, 0.18))
    assert WordStatistics(0, 0, {}).norm() == pytest.approx((0.3, 0.0))


def test_lengths_are_rounded_as_one_byte_holds_them() -> None:
    kept = [kept_length(length) for length in (0, 39, 40, 41, 42, 55, 56, 59, 60, 88, 95, 96, 1000)]
    assert kept == [0, 39, 40, 40, 42, 54, 56, 56, 60, 88, 88, 96, 984]
