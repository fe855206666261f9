"""LlamaIndex's query modes, nodes of several kinds, and our embedding, retriever and reranker in its own index."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the adapter needs the package llama-index-core")

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import Document, ImageNode, IndexNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

import retr
from retr.integrations.llamaindex import RetrEmbedding, RetrReranker, RetrRetriever, RetrVectorStore
from retr.retrieval.errors import BadInput, Mismatch

LETTERS = "models_of_users:load_letters=letters"
SHARED = "models_of_users:load_shared=shared"
VECTORS = {"east": [1.0, 0.0], "north-east": [0.9, 0.4], "north": [0.0, 1.0], "west": [-1.0, 0.1]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RetrVectorStore:
    store = RetrVectorStore(path=str(tmp_path_factory.mktemp("store") / "index"))
    store.add([TextNode(id_=name, text=f"we go {name}", embedding=vector) for name, vector in VECTORS.items()])
    return store


def ask(store: RetrVectorStore, mode: str, k: int = 2, **asked: Any) -> list[str]:
    query = VectorStoreQuery(
        query_embedding=[1.0, 0.1],
        query_str="north",
        similarity_top_k=k,
        mode=VectorStoreQueryMode(mode),
        **asked,
    )
    return list(store.query(query).ids or [])


def test_the_default_mode_goes_by_the_vector(store: RetrVectorStore) -> None:
    assert ask(store, "default") == ["east", "north-east"]


@pytest.mark.parametrize("mode", ["sparse", "text_search"])
def test_the_modes_of_text_go_by_the_words(store: RetrVectorStore, mode: str) -> None:
    assert set(ask(store, mode)) == {"north", "north-east"}
    assert len(ask(store, mode, sparse_top_k=1)) == 1


def test_hybrid_weighs_vector_against_words(store: RetrVectorStore) -> None:
    assert ask(store, "hybrid", alpha=1.0) == ask(store, "default")
    assert ask(store, "hybrid", alpha=0.0) == ask(store, "sparse")
    assert ask(store, "hybrid")[0] == "north"
    assert ask(store, "hybrid", alpha=0.8)[0] == "north-east"
    assert len(ask(store, "hybrid", hybrid_top_k=3)) == 3


def test_mmr_prefers_what_is_new(store: RetrVectorStore) -> None:
    assert ask(store, "mmr", mmr_threshold=1.0) == ["east", "north-east"]
    assert ask(store, "mmr", mmr_threshold=0.2) == ["east", "west"]


def test_a_query_is_kept_to_some_nodes_or_documents(store: RetrVectorStore) -> None:
    assert ask(store, "default", node_ids=["north", "west"]) == ["north", "west"]
    assert ask(store, "default", doc_ids=["another"]) == []


def test_another_mode_names_the_known(store: RetrVectorStore) -> None:
    with pytest.raises(BadInput, match=r"'svm'.*default, sparse, text_search, hybrid, mmr"):
        ask(store, "svm")


def test_nodes_come_back_as_they_were_added(tmp_path: Path) -> None:
    store = RetrVectorStore(path=str(tmp_path / "index"))
    nodes = [
        TextNode(id_="text", text="a text", metadata={"a": 1, "empty": [], "in": {"b": None}}, embedding=[1.0, 0.0]),
        IndexNode(id_="index", text="an index", index_id="other", embedding=[1.0, 0.5]),
        ImageNode(id_="image", text="", image="aGVsbG8=", embedding=[0.5, 1.0]),
    ]
    store.add(nodes)
    again = RetrVectorStore(path=str(tmp_path / "index")).get_nodes()
    assert [type(node) for node in again] == [type(node) for node in nodes]
    for node, before in zip(again, nodes, strict=True):
        before.embedding = None
        assert node.to_dict() == before.to_dict()


def test_a_vector_of_another_length_names_the_node(store: RetrVectorStore) -> None:
    with pytest.raises(Mismatch, match=r"'long'.* 3 numbers"):
        store.add([TextNode(id_="long", text="t", embedding=[1.0, 0.0, 0.0])])


def test_what_is_awaited_runs_beside_the_event_loop(tmp_path: Path) -> None:
    store = RetrVectorStore(path=str(tmp_path / "index"))

    async def use() -> list[str]:
        await store.async_add([TextNode(id_=name, text=name, embedding=vector) for name, vector in VECTORS.items()])
        await store.adelete_nodes(["west"])
        found = await store.aquery(VectorStoreQuery(query_embedding=[0.0, 1.0], similarity_top_k=1))
        await store.adelete("None")
        return [*(found.ids or []), *(node.node_id for node in await store.aget_nodes())]

    assert asyncio.run(use()) == ["north"]


def test_an_empty_store_finds_nothing(tmp_path: Path) -> None:
    store = RetrVectorStore(path=str(tmp_path / "index"))
    assert ask(store, "default") == []
    assert store.get_nodes() == []
    assert store.client is None


def test_llamaindexs_own_index_works_over_the_store(tmp_path: Path, users: Any) -> None:
    embedding = RetrEmbedding(model_name=LETTERS)
    context = StorageContext.from_defaults(vector_store=RetrVectorStore(path=str(tmp_path / "index"), similarity="dot"))
    texts = ["a red fish swims", "a blue stone falls", "the green tree"]
    documents = [Document(text=text, doc_id=f"d{number}") for number, text in enumerate(texts)]
    VectorStoreIndex.from_documents(documents, storage_context=context, embed_model=embedding)
    reopened = RetrVectorStore(path=str(tmp_path / "index"))
    index = VectorStoreIndex.from_vector_store(reopened, embed_model=embedding)
    found = index.as_retriever(similarity_top_k=1).retrieve("blue stone")
    assert found[0].node.get_content() == texts[1]
    index.delete_ref_doc("d1")
    assert [node.get_content() for node in reopened.get_nodes()] == [texts[0], texts[2]]


def test_the_retriever_gives_passages_of_an_index_made_elsewhere(tmp_path: Path) -> None:
    retr.create(tmp_path / "index", encoder=None).add(
        [retr.Document("a", "a red fish", title="Fish", metadata={"year": 2020}), retr.Document("b", "a stone")]
    )
    retriever = RetrRetriever(tmp_path / "index", search=retr.SearchSettings(mode="lexical", where="year = 2020"))
    found = retriever.retrieve("red fish")
    assert [(one.node.node_id, one.node.get_content()) for one in found] == [("a", "a red fish")]
    assert found[0].node.metadata["title"] == "Fish"


def test_the_reranker_keeps_the_best(users: Any) -> None:
    nodes = [NodeWithScore(node=TextNode(text=text), score=1.0) for text in ("a fish", "a stone", "a stone falls")]
    best = RetrReranker(model=SHARED, top_n=2).postprocess_nodes(nodes, QueryBundle("stone falls"))
    assert [node.node.get_content() for node in best] == ["a stone falls", "a stone"]
    with pytest.raises(BadInput, match="query"):
        RetrReranker(model=SHARED).postprocess_nodes(nodes)
