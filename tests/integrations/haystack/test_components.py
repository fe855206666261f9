"""What Haystack's suite does not ask: retrieval, a store that encodes, filters against Haystack's own, a pipeline."""

import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("haystack", reason="the adapter needs the package haystack-ai")

from haystack import Pipeline
from haystack.dataclasses import ByteStream, Document, SparseEmbedding
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError

from retr.integrations.haystack import (
    RetrBM25Retriever,
    RetrDocumentEmbedder,
    RetrDocumentStore,
    RetrEmbeddingRetriever,
    RetrHybridRetriever,
    RetrRanker,
    RetrTextEmbedder,
)
from retr.retrieval.errors import BadInput, Mismatch

LETTERS = "models_of_users:load_letters=letters"
SHARED = "models_of_users:load_shared=shared"
TEXTS = {"red": "a red fish", "blue": "a blue fish", "stone": "a stone falls"}


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    """With metadata of every kind, dates in several forms among them."""
    dates = ["2024-01-31", "2024-01-31T09:00:00", "2024-01-31T09:00:00+02:00", "2023-12-01", None]
    generator = random.Random(3)
    return [
        Document(
            id=f"d{number}",
            content=None if number == 7 else f"text {number}",
            meta={
                "number": generator.choice([0, 1, 2, -3, 2.5, True, False, None, 1.0]),
                "date": generator.choice(dates),
                "name": generator.choice(["a", "b", "2024-01-31", ""]),
                "by": generator.choice([{"name": "a"}, {"name": 1}, {}, None]),
                "list": generator.choice([[1, "a"], [], None]),
            },
        )
        for number in range(60)
    ]


FIELDS = {
    "meta.number": [0, 1, 2, 2.5, True, False, None, -3],
    "meta.date": ["2024-01-31", "2024-01-31T09:00:00", "2024-01-31T07:00:00Z", None],
    "meta.name": ["a", "", "2024-01-31", None],
    "meta.by.name": ["a", 1, None],
    "meta.list": [[1, "a"], [], None],
    "number": [1, None],
    "content": ["text 3", None],
    "id": ["d1", "d2"],
    "nothing.here": [1, None],
}
ORDERED = ["meta.number", "meta.date"]


def random_filter(generator: random.Random, depth: int = 2) -> dict[str, Any]:
    if depth and generator.random() < 0.6:
        parts = [random_filter(generator, depth - 1) for _ in range(generator.randint(1, 3))]
        return {"operator": generator.choice(["AND", "OR", "NOT"]), "conditions": parts}
    field = generator.choice(list(FIELDS))
    operators = ["==", "!=", "in", "not in", *((">", ">=", "<", "<=") if field in ORDERED else ())]
    operator = generator.choice(operators)
    values = FIELDS[field]
    several = operator in ("in", "not in")
    value = generator.sample(values, generator.randint(0, len(values))) if several else generator.choice(values)
    return {"field": field, "operator": operator, "value": value}


def test_filters_mean_what_they_mean_in_haystacks_own_store(documents: list[Document], tmp_path: Path) -> None:
    theirs, ours = InMemoryDocumentStore(), RetrDocumentStore(str(tmp_path / "index"), embedding_dim=2)
    theirs.write_documents(documents)
    ours.write_documents(documents)
    generator = random.Random(11)
    compared = 0
    for _ in range(80):
        filters = random_filter(generator)
        try:
            expected = [document.id for document in theirs.filter_documents(filters)]
        except (FilterError, TypeError):
            continue  # A number against a date: an error there, no match here.
        assert [document.id for document in ours.filter_documents(filters)] == expected, filters
        compared += 1
    assert compared > 60


def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), embedding_dim=2)
    written = [
        Document(
            id="a", blob=ByteStream(b"\x00\xff", meta={"a": 1}, mime_type="image/png"), meta={"x": [1, {"y": None}]}
        ),
        Document(id="b", content="", score=0.25, embedding=[0.1, 1 / 3]),
        Document(id="c", content="c", sparse_embedding=SparseEmbedding([1, 5], [0.5, 0.25])),
        Document(id="d", content="d", embedding=[0.0, 0.0]),
        Document(id="e", content="e", embedding=[0.5, -0.25]),
    ]
    store.write_documents(written)
    assert store.filter_documents() == written
    assert RetrDocumentStore(str(tmp_path / "index"), return_embedding=False).filter_documents()[1].embedding is None


def test_a_document_without_a_vector_is_found_by_its_words_alone(tmp_path: Path) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), embedding_dim=2)
    store.write_documents([Document(id="a", content="a fish", embedding=[0.0, 1.0]), Document(id="b", content="fish")])
    assert [found.id for found in store.embedding_retrieval([1.0, 0.0])] == ["a"]
    assert {found.id for found in store.bm25_retrieval("fish")} == {"a", "b"}
    assert {found.id for found in store.hybrid_retrieval("fish", [1.0, 0.0])} == {"a", "b"}
    assert store.embedding_retrieval([0.0, 2.0])[0].score == pytest.approx(1)


def test_metadata_are_changed_without_losing_vectors(tmp_path: Path) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), embedding_dim=2)
    store.write_documents([Document(id="a", content="a", embedding=[3.0, 4.0]), Document(id="b", content="b")])
    before = store.collection.vectors(["a"])["a"].tolist()
    assert store.update_by_filter({"field": "id", "operator": "==", "value": "a"}, {"seen": True}) == 1
    assert store.collection.vectors(["a"])["a"].tolist() == before
    assert [found.id for found in store.embedding_retrieval([1.0, 0.0])] == ["a"]


def test_deleting_all_for_good_leaves_nothing_in_the_files(tmp_path: Path) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), embedding_dim=2)
    store.write_documents([Document(id="a", content="a secret word", embedding=[3.0, 4.0])])
    store.delete_all_documents(recreate_index=True)
    left = [path for path in (tmp_path / "index").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    assert left == []


def test_a_vector_of_another_length_names_the_document(tmp_path: Path) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), embedding_dim=2)
    with pytest.raises(Mismatch, match=r"'a'.* 3 numbers"):
        store.write_documents([Document(id="a", content="a", embedding=[1.0, 0.0, 0.0])])


def test_a_store_that_encodes_searches_by_text(tmp_path: Path, users: Any) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), encoder=LETTERS)
    store.write_documents([Document(id=id, content=text) for id, text in TEXTS.items()])
    assert store.hybrid_retrieval("blue fish", top_k=1)[0].id == "blue"
    vector = RetrTextEmbedder(LETTERS).run("a stone falls")["embedding"]
    assert store.embedding_retrieval(vector, top_k=1)[0].id == "stone"


def test_a_store_of_words_alone_says_that_it_has_no_vectors(tmp_path: Path) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), encoder="none")
    store.write_documents([Document(id=id, content=text) for id, text in TEXTS.items()])
    assert store.bm25_retrieval("stone")[0].id == "stone"
    with pytest.raises(BadInput, match="no vectors"):
        store.embedding_retrieval([1.0])
    assert store.hybrid_retrieval("stone")[0].id == "stone"
    given = RetrDocumentStore(str(tmp_path / "given"), embedding_dim=2)
    with pytest.raises(BadInput, match="needs the query's embedding"):
        given.hybrid_retrieval("stone")


def test_a_pipeline_embeds_writes_retrieves_and_ranks_and_is_saved(tmp_path: Path, users: Any) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), embedding_dim=users.DIM, similarity="dot")
    embedded = RetrDocumentEmbedder(LETTERS, meta_fields_to_embed=["kind"]).run(
        [Document(id=id, content=text, meta={"kind": "animal"}) for id, text in TEXTS.items()]
    )["documents"]
    store.write_documents(embedded, DuplicatePolicy.FAIL)
    pipeline = Pipeline()
    pipeline.add_component("embedder", RetrTextEmbedder(LETTERS))
    pipeline.add_component("retriever", RetrEmbeddingRetriever(store, top_k=3))
    pipeline.add_component("ranker", RetrRanker(SHARED, top_k=2))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever.documents", "ranker.documents")
    asked = {"embedder": {"text": "blue fish"}, "ranker": {"query": "blue fish"}}
    first = pipeline.run(asked)["ranker"]["documents"]
    assert [document.id for document in first] == ["blue", "red"]
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["retr.integrations.haystack"])
    again = loaded.run(asked)["ranker"]["documents"]
    assert [(document.id, document.score) for document in again] == [(d.id, d.score) for d in first]


@pytest.mark.parametrize("kind", [RetrBM25Retriever, RetrHybridRetriever])
def test_a_retriever_takes_filters_at_both_places(kind: Any, tmp_path: Path, users: Any) -> None:
    store = RetrDocumentStore(str(tmp_path / "index"), encoder=LETTERS)
    store.write_documents(
        [Document(id=id, content=text, meta={"n": len(id), "m": len(id)}) for id, text in TEXTS.items()]
    )
    first = {"field": "meta.n", "operator": ">", "value": 3}
    then = {"field": "meta.m", "operator": "<", "value": 5}
    assert next(d.id for d in kind(store, first).run("fish")["documents"]) == "blue"
    assert "red" in [d.id for d in kind(store, first).run("fish", filters=then)["documents"]]
    merged = kind(store, first, filter_policy="merge").run("fish", filters=then)["documents"]
    assert [document.id for document in merged] == ["blue"]
