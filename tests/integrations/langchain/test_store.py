"""What LangChain's suites do not ask of the vector store: filters, modes, diversity, opening again, other embedders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("langchain_core", reason="the adapter needs the package langchain-core")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores.utils import maximal_marginal_relevance

import retr
from retr.integrations.diversity import most_diverse
from retr.integrations.langchain import RetrEmbeddings, RetrReranker, RetrRetriever, RetrVectorStore
from retr.retrieval.errors import BadInput, Mismatch, NotFound

FISH = [
    Document(id="red", page_content="a red fish", metadata={"year": 2020, "tags": ["a", "b"], "by": {"name": "Ann"}}),
    Document(id="blue", page_content="a blue fish", metadata={"year": 2021, "tags": [], "by": {"name": "Bo"}}),
    Document(id="stone", page_content="a stone", metadata={"year": 2022, "draft": True}),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RetrVectorStore:
    store = RetrVectorStore(DeterministicFakeEmbedding(size=6), tmp_path_factory.mktemp("store") / "index")
    store.add_documents(FISH)
    return store


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        ({"year": 2021}, ["blue"]),
        ({"year": {"$gte": 2021}}, ["blue", "stone"]),
        ({"year": {"$gt": 2020, "$lt": 2022}}, ["blue"]),
        ({"year": {"$between": [2020, 2021]}}, ["red", "blue"]),
        ({"year": {"$in": [2020, 2022]}}, ["red", "stone"]),
        ({"year": {"$nin": [2020, 2022]}}, ["blue"]),
        ({"year": {"$ne": 2020}}, ["blue", "stone"]),
        ({"tags": {"$contains": "b"}}, ["red"]),
        ({"by.name": {"$like": "A%"}}, ["red"]),
        ({"by.name": {"$ilike": "%O"}}, ["blue"]),
        ({"draft": {"$exists": False}}, ["red", "blue"]),
        ({"draft": None}, ["red", "blue"]),
        ({"draft": True}, ["stone"]),
        ({"$or": [{"year": 2020}, {"draft": True}]}, ["red", "stone"]),
        ({"$and": [{"year": {"$gt": 2020}}, {"$not": {"draft": True}}]}, ["blue"]),
        ({}, ["red", "blue", "stone"]),
        ("year > 2020 and draft is null", ["blue"]),
        (lambda document: document.page_content.endswith("fish") and document.metadata["year"] == 2020, ["red"]),
    ],
)
def test_a_filter_lets_these_documents_pass(store: RetrVectorStore, filter: Any, ids: list[str]) -> None:
    found = store.similarity_search("fish", k=10, filter=filter)
    assert sorted(str(document.id) for document in found) == sorted(ids)


def test_a_filter_of_an_unknown_operator_names_the_known(store: RetrVectorStore) -> None:
    with pytest.raises(NotFound, match=r"'\$gts'.*Did you mean '\$gte?'"):
        store.similarity_search("fish", filter={"year": {"$gts": 1}})
    with pytest.raises(BadInput, match="list"):
        store.similarity_search("fish", filter={"year": {"$in": 1}})


def test_lexical_search_needs_no_vectors_of_the_query(store: RetrVectorStore) -> None:
    found = store.similarity_search_with_score("stone", mode="lexical")
    assert [document.id for document, _ in found] == ["stone"]


def test_hybrid_search_finds_what_the_words_find(store: RetrVectorStore) -> None:
    assert store.similarity_search("stone", k=1, mode="hybrid")[0].id == "stone"


def test_relevance_scores_lie_between_0_and_1(store: RetrVectorStore) -> None:
    found = dict(
        (document.id, score) for document, score in store.similarity_search_with_relevance_scores("a stone", k=3)
    )
    assert found["stone"] == pytest.approx(1)
    assert all(0 <= score <= 1 for score in found.values())


def test_diverse_results_are_those_of_langchains_own_function() -> None:
    generator = np.random.default_rng(7)
    for relevance in (0.0, 0.3, 0.5, 1.0):
        vectors = generator.normal(size=(30, 5)).astype(np.float32)
        query = generator.normal(size=5).astype(np.float32)
        theirs = maximal_marginal_relevance(query, list(vectors), lambda_mult=relevance, k=9)
        assert most_diverse(query, vectors, 9, relevance=relevance)[1:] == theirs[1:] or relevance == 0.0
        if relevance:
            assert most_diverse(query, vectors, 9, relevance=relevance) == theirs


def test_diversity_leaves_out_a_near_copy(tmp_path: Path, users: Any) -> None:
    texts = ["a red fish swims", "a red fish swims!", "a red stone"]
    store = RetrVectorStore.from_texts(texts, RetrEmbeddings(users.LetterPairs()), path=tmp_path / "index")
    found = store.max_marginal_relevance_search("a red fish swims", k=2, lambda_mult=0.3)
    assert [document.page_content for document in found] == ["a red fish swims", "a red stone"]


def test_an_index_is_opened_again_with_what_is_in_it(tmp_path: Path) -> None:
    embedder = DeterministicFakeEmbedding(size=6)
    RetrVectorStore(embedder, tmp_path / "index").add_documents(FISH)
    again = RetrVectorStore(embedder, tmp_path / "index")
    assert again.similarity_search("a stone", k=1) == [FISH[2]]


def test_without_its_embedder_an_index_says_which_one_it_needs(tmp_path: Path) -> None:
    RetrVectorStore(DeterministicFakeEmbedding(size=6), tmp_path / "index").add_documents(FISH)
    again = RetrVectorStore(path=tmp_path / "index")
    assert again.similarity_search("stone", mode="lexical")[0].id == "stone"
    with pytest.raises(NotFound, match=r"made with the embedder langchain_core\S*:DeterministicFakeEmbedding"):
        again.similarity_search("stone")


class Doubled(DeterministicFakeEmbedding):
    """Another embedder of the same class and name: only its vectors tell."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return super().embed_documents([text * 2 for text in texts])


def test_another_embedder_is_refused(tmp_path: Path) -> None:
    RetrVectorStore(DeterministicFakeEmbedding(size=6), tmp_path / "index").add_documents(FISH)
    with pytest.raises(Mismatch, match="dim 6"):
        RetrVectorStore(DeterministicFakeEmbedding(size=5), tmp_path / "index").similarity_search("a stone")
    changed = Doubled(size=6)
    changed.__class__.__qualname__ = "DeterministicFakeEmbedding"
    changed.__class__.__module__ = DeterministicFakeEmbedding.__module__
    with pytest.raises(Mismatch, match="no longer gives the vectors"):
        RetrVectorStore(changed, tmp_path / "index").similarity_search("a stone")


class Counting(Embeddings):
    """Says how many texts it was given."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.inner = DeterministicFakeEmbedding(size=6)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.texts += texts
        return self.inner.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        return self.inner.embed_query(text)


def test_an_unchanged_document_is_not_embedded_again(tmp_path: Path) -> None:
    embedder = Counting()
    store = RetrVectorStore(embedder, tmp_path / "index")
    store.add_documents(FISH)
    before = len(embedder.texts)
    store.add_documents([*FISH, Document(id="new", page_content="a new one")])
    assert embedder.texts[before:] == ["a new one"]


def test_of_an_id_given_twice_the_last_document_is_kept(tmp_path: Path) -> None:
    store = RetrVectorStore(DeterministicFakeEmbedding(size=6), tmp_path / "index")
    store.add_texts(["first", "second"], ids=["a", "a"])
    assert [document.page_content for document in store.get_by_ids(["a"])] == ["second"]


def test_langchains_indexing_leaves_out_what_it_knows_and_removes_what_is_gone(tmp_path: Path) -> None:
    store = RetrVectorStore(DeterministicFakeEmbedding(size=6), tmp_path / "index")
    records = InMemoryRecordManager("test")
    records.create_schema()

    def run(*documents: Document) -> tuple[int, int, int]:
        done = index(documents, records, store, cleanup="full", key_encoder="sha256")
        return done["num_added"], done["num_skipped"], done["num_deleted"]

    assert run(FISH[0], FISH[1]) == (2, 0, 0)
    assert run(FISH[0], FISH[2]) == (1, 1, 1)
    assert sorted(d.page_content for d in store.similarity_search("x", k=9)) == ["a red fish", "a stone"]


@pytest.mark.parametrize("search", ["similarity", "mmr"])
def test_langchains_own_retriever_works_over_the_store(store: RetrVectorStore, search: str) -> None:
    retriever = store.as_retriever(search_type=search, search_kwargs={"k": 1, "filter": {"year": 2021}})
    assert [document.id for document in retriever.invoke("anything")] == ["blue"]


def test_an_empty_store_finds_nothing(tmp_path: Path) -> None:
    store = RetrVectorStore(DeterministicFakeEmbedding(size=6), tmp_path / "index")
    assert store.max_marginal_relevance_search("a") == []
    assert store.similarity_search("a", filter=lambda document: True) == []
    assert store.similarity_search("a", mode="hybrid") == []


def test_without_a_path_the_index_goes_with_the_store() -> None:
    store = RetrVectorStore(DeterministicFakeEmbedding(size=6))
    store.add_texts(["one"])
    folder = store.collection.folder
    assert folder.exists()
    del store
    assert not folder.exists()


def test_the_retriever_gives_passages_with_their_place(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {number} is about {word}." for number, word in enumerate(["fish"] * 200))
    settings = retr.CollectionSettings()
    index = retr.create(tmp_path / "index", encoder=None, settings=settings)
    index.add([retr.Document("long", text, title="Fish", source={"path": "fish.md"})])
    found = RetrRetriever(path=tmp_path / "index", mode="lexical").invoke("paragraph 150 fish")[0]
    assert found.metadata["source"] == "fish.md"
    assert found.metadata["title"] == "Fish"
    assert found.page_content == text[found.metadata["start"] : found.metadata["end"]] != text
    whole = RetrRetriever(path=tmp_path / "index", mode="lexical", whole=True).invoke("paragraph 150 fish")[0]
    assert whole.page_content == text


def test_a_retriever_of_a_folder_without_an_index_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        RetrRetriever(path=tmp_path)


def test_the_reranker_orders_copies_and_keeps_the_best(users: Any) -> None:
    reranker = RetrReranker(model=users.SharedLetters(), top_n=2)
    found = reranker.compress_documents(FISH, "a stone")
    assert found[0].id == "stone"
    assert len(found) == 2
    assert found[0].metadata["relevance_score"] > found[1].metadata["relevance_score"]
    assert "relevance_score" not in FISH[2].metadata
