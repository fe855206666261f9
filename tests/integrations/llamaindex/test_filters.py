"""Every filter operator against LlamaIndex's own SimpleVectorStore."""

import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core", reason="the adapter needs the package llama-index-core")

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.simple import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from retr.integrations.llamaindex import RetrVectorStore
from retr.retrieval.errors import BadInput

VALUES: dict[str, list[Any]] = {
    "number": [0, 1, 2, 2.5, -1, None, True],
    "text": ["alpha", "Beta 50%", "be_ta", "", "É", None],
    "list": [["a", "b"], ["a"], [], [1, 2], None],
    "odd.key": ["x", 1, None],
}
WANTED: dict[FilterOperator, dict[str, list[Any]]] = {
    FilterOperator.EQ: {"number": [0, 1, 2.5], "text": ["alpha", ""], "list": [["a"]], "odd.key": ["x"]},
    FilterOperator.NE: {"number": [0, 1, 2.5], "text": ["alpha", ""], "list": [["a"]], "odd.key": [1]},
    FilterOperator.GT: {"number": [0, 1.5], "text": ["alpha", "É"]},
    FilterOperator.GTE: {"number": [1, 2.5], "text": ["alpha"]},
    FilterOperator.LT: {"number": [1, 2.5], "text": ["b"]},
    FilterOperator.LTE: {"number": [1, 2.5], "text": ["alpha", ""]},
    FilterOperator.IN: {"number": [[1, 2], [2.5]], "text": [["alpha", ""], "alphabet"], "odd.key": [["x"]]},
    FilterOperator.NIN: {"number": [[1, 2], [2.5]], "text": [["alpha", ""], "alphabet"], "odd.key": [["x"]]},
    FilterOperator.ANY: {"list": [["a", "c"], ["b"]], "text": [["al", "50%"]]},
    FilterOperator.ALL: {"list": [["a", "b"], ["a"]], "text": [["a", "t"]]},
    FilterOperator.TEXT_MATCH: {"text": ["0%", "a", "_", "é"]},
    FilterOperator.TEXT_MATCH_INSENSITIVE: {"text": ["BETA", "É", "0%"]},
    FilterOperator.CONTAINS: {"list": ["a", 1, 2], "text": ["et", "%"]},
    FilterOperator.IS_EMPTY: {"number": [None], "text": [None], "list": [None], "odd.key": [None], "none": [None]},
}
KEYS = ["ref_doc_id", "doc_id"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimpleVectorStore, RetrVectorStore]:
    generator = random.Random(5)
    nodes = []
    for number in range(40):
        metadata = {name: generator.choice(values) for name, values in VALUES.items() if generator.random() < 0.85}
        node = TextNode(id_=f"n{number}", text=f"text {number}", metadata=metadata)
        node.embedding = [generator.uniform(-1, 1) for _ in range(4)]
        if number % 3:
            node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc{number % 5}")
        nodes.append(node)
    theirs = SimpleVectorStore()
    ours = RetrVectorStore(path=str(tmp_path_factory.mktemp("store") / "index"))
    theirs.add(nodes)
    assert ours.add(nodes) == [node.node_id for node in nodes]
    return theirs, ours


def test_every_operator_is_tried() -> None:
    assert set(WANTED) == set(FilterOperator)
    assert len(WANTED) == 14


def found(store: Any, filters: MetadataFilters) -> list[str]:
    query = VectorStoreQuery(query_embedding=[0.1, 0.4, -0.3, 0.2], similarity_top_k=100, filters=filters)
    return list(store.query(query).ids)


def expected(theirs: SimpleVectorStore, filters: MetadataFilters) -> list[str]:
    """The nodes that SimpleVectorStore lets pass; one that it cannot compare, and so fails on, does not."""
    passing = []
    for id in theirs.data.metadata_dict:
        alone = VectorStoreQuery(query_embedding=[1.0, 0, 0, 0], similarity_top_k=1, filters=filters, node_ids=[id])
        only = SimpleVectorStore()
        only.data.embedding_dict = {id: theirs.data.embedding_dict[id]}
        only.data.metadata_dict = {id: theirs.data.metadata_dict[id]}
        try:
            passing += only.query(alone).ids or []
        except TypeError:
            continue
    return passing


CASES = [
    pytest.param(MetadataFilter(key=key, value=value, operator=operator), id=f"{operator.value} {key} {value!r}")
    for operator, keys in WANTED.items()
    for key, values in keys.items()
    for value in values
]


@pytest.mark.parametrize("filter", CASES)
def test_an_operator_means_what_it_means_there(
    both: tuple[SimpleVectorStore, RetrVectorStore], filter: MetadataFilter
) -> None:
    theirs, ours = both
    filters = MetadataFilters(filters=[filter])
    assert sorted(found(ours, filters)) == sorted(expected(theirs, filters))


def test_conditions_join_filters_as_there(both: tuple[SimpleVectorStore, RetrVectorStore]) -> None:
    theirs, ours = both
    number = MetadataFilter(key="number", value=1, operator=FilterOperator.GTE)
    text = MetadataFilter(key="text", value="a", operator=FilterOperator.CONTAINS)
    whole = MetadataFilter(key="ref_doc_id", value="doc1", operator=FilterOperator.EQ)
    for condition, parts in product(FilterCondition, ([number], [number, text], [number, text, whole])):
        filters = MetadataFilters(filters=parts, condition=condition)
        assert sorted(found(ours, filters)) == sorted(expected(theirs, filters))


def test_filters_nest(both: tuple[SimpleVectorStore, RetrVectorStore]) -> None:
    _, ours = both
    one = MetadataFilters(filters=[MetadataFilter(key="number", value=1), MetadataFilter(key="number", value=2)])
    one.condition = FilterCondition.OR
    nested = MetadataFilters(filters=[one, MetadataFilter(key="ref_doc_id", value="doc1")])
    parts = set(found(ours, one)) & set(found(ours, MetadataFilters(filters=[nested.filters[1]])))
    assert set(found(ours, nested)) == parts != set()


def test_the_order_and_the_scores_are_those_of_the_other_store(
    both: tuple[SimpleVectorStore, RetrVectorStore],
) -> None:
    query = VectorStoreQuery(query_embedding=[0.1, 0.4, -0.3, 0.2], similarity_top_k=7)
    theirs, ours = (store.query(query) for store in both)
    assert ours.ids == theirs.ids
    assert ours.similarities == pytest.approx(theirs.similarities, abs=1e-6)


def test_nodes_are_deleted_as_there(both: tuple[SimpleVectorStore, RetrVectorStore], tmp_path: Path) -> None:
    theirs, _ = both
    ours = RetrVectorStore(path=str(tmp_path / "index"))
    other = SimpleVectorStore()
    nodes = []
    for id, vector in list(theirs.data.embedding_dict.items())[:12]:
        nodes.append(TextNode(id_=id, text="t", metadata={"n": len(id)}, embedding=vector))
        nodes[-1].relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc{id[-1]}")
    ours.add(nodes)
    other.add(nodes)
    short = MetadataFilters(filters=[MetadataFilter(key="n", value=2)])
    for store in (ours, other):
        store.delete("doc3")
        store.delete_nodes(node_ids=["n1", "n11"])
        store.delete_nodes(node_ids=["n4", "n10"], filters=short)
    assert sorted(node.node_id for node in ours.get_nodes()) == sorted(other.data.embedding_dict)
    ours.clear()
    assert ours.get_nodes() == []


def test_a_text_match_with_a_number_is_refused(both: tuple[SimpleVectorStore, RetrVectorStore]) -> None:
    filters = MetadataFilters(filters=[MetadataFilter(key="text", value=1, operator=FilterOperator.TEXT_MATCH)])
    with pytest.raises(BadInput, match="text"):
        found(both[1], filters)
