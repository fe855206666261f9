"""What the adapters share: a shelf of documents, filters as trees, embedders as encoders."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retr
from retr.index.writing.creation import GOLDEN_TEXT
from retr.integrations import python_values
from retr.integrations.diversity import most_diverse
from retr.integrations.embedders import EmbedderEncoder, name_of
from retr.integrations.shelf import Shelf
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.filters import Field, In, matches
from retr.retrieval.records import Document

PLANE = {"east": [1.0, 0.0], "north": [0.0, 1.0], "south": [0.0, -1.0]}


def given(folder: Path) -> Shelf:
    shelf = Shelf(folder / "index", encoder=retr.GivenVectors(2))
    documents = [Document(name, f"we go {name}", metadata={"n": len(name)}) for name in PLANE]
    shelf.write(documents, np.array(list(PLANE.values()), np.float32))
    return shelf


def test_a_filter_may_be_a_tree_of_any_size(tmp_path: Path) -> None:
    collection = given(tmp_path).collection
    many = In(Field(("id",)), ("south", *(f"other {number}" for number in range(3000))))
    assert collection.ids(many) == ["south"]
    assert collection.count(many) == 1
    assert [hit.id for hit in collection.search("go", where=many, mode="lexical")] == ["south"]
    assert [near.id for near in collection.nearest(np.ones(2, np.float32), where=many)[0]] == ["south"]


def test_trees_that_python_takes_for_equal_are_not_mixed_up(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "index", encoder="none")
    shelf.write([Document("one", "1", metadata={"x": 1}), Document("true", "t", metadata={"x": True})])
    assert shelf.collection.ids(In(Field(("x",)), (1,))) == ["one"]
    assert shelf.collection.ids(In(Field(("x",)), (True,))) == ["true"]


def test_stored_vectors_are_given_by_id(tmp_path: Path) -> None:
    found = given(tmp_path).collection.vectors(["south", "unknown"])
    assert {id: rows.tolist() for id, rows in found.items()} == {"south": [[0.0, -1.0]]}


def test_metadata_are_rewritten_with_vectors_kept(tmp_path: Path) -> None:
    shelf = given(tmp_path)
    shelf.rewrite([Document("south", "we go south", metadata={"seen": True})])
    assert shelf.collection.ids("seen = true") == ["south"]
    assert [hit.id for hit in shelf.by_vector([0.0, -1.0], 1)] == ["south"]


def test_what_another_writer_commits_is_seen_at_the_next_call(tmp_path: Path) -> None:
    shelf, other = given(tmp_path), Shelf(tmp_path / "index")
    other.remove(["east", "nowhere"])
    assert shelf.known(["east", "south", "nowhere"]) == ["south"]


def test_threads_write_and_search_at_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "index", encoder="none")
    settings = retr.SearchSettings(mode="lexical")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            shelf.write([Document(f"d{number}", f"word{number} shared")])
            assert shelf.by_text(f"word{number}", 1, settings=settings)[0].id == f"d{number}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(shelf.by_text("shared", 10, settings=settings)) == 6


def test_fewer_than_one_result_is_none(tmp_path: Path) -> None:
    shelf = given(tmp_path)
    assert shelf.by_vector([1.0, 0.0], 0) == []
    assert shelf.by_text("go", 0, settings=retr.SearchSettings(mode="lexical")) == []


def test_a_missing_index_is_not_made_where_that_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Shelf(tmp_path / "none", create=False)


@pytest.mark.parametrize(("wanted", "passing"), [(1, [1, True, 1.0]), (0, [0, False]), (2, [2]), ("1", ["1"])])
def test_equal_is_what_python_takes_for_equal(wanted: Any, passing: list[Any]) -> None:
    filter = python_values.equals(Field(("x",)), wanted)
    values = [0, 1, 2, 1.0, True, False, "1", None, [1]]
    expected = [value for value in values if any(type(value) is type(one) and value == one for one in passing)]
    assert [value for value in values if matches(filter, Document("a", "t", metadata={"x": value}))] == expected


def test_true_is_ordered_as_one() -> None:
    filter = python_values.ordered(Field(("x",)), ">", 0)
    values = [-1, 0, 1, 0.5, True, False, "1", None]
    assert [value for value in values if matches(filter, Document("a", "t", metadata={"x": value}))] == [1, 0.5, True]


def test_diversity_takes_the_best_then_the_unlike() -> None:
    candidates = np.array([[1.0, 0.1], [1.0, 0.11], [0.0, 1.0]], np.float32)
    query = np.array([1.0, 0.0], np.float32)
    assert most_diverse(query, candidates, 2, relevance=1.0) == [0, 1]
    assert most_diverse(query, candidates, 2, relevance=0.4) == [0, 2]
    assert most_diverse(query, candidates, 9, relevance=0.4) == [0, 2, 1]
    with pytest.raises(BadInput, match=r"from 0 .* to 1"):
        most_diverse(query, candidates, 2, relevance=1.5)


class Embedder:
    """An embedder as a framework has one."""

    def __init__(self, model: str, turn: float = 0.0) -> None:
        self.model_name, self.api_key, self.batch, self.turn = model, "secret", 3, turn

    def embed(self, texts: list[str]) -> list[list[float]]:
        return [[3.0, 4.0 + self.turn * (text == GOLDEN_TEXT)] for text in texts]


def encoder(embedder: Embedder) -> EmbedderEncoder:
    return EmbedderEncoder.of(embedder, embedder.embed, embedder.embed)


def test_an_embedder_is_named_by_its_class_and_model_and_by_no_secret() -> None:
    assert name_of(Embedder("small")).endswith(":Embedder(model_name='small')")
    assert encoder(Embedder("small")).fingerprint == encoder(Embedder("small", turn=9)).fingerprint
    assert encoder(Embedder("small")).fingerprint != encoder(Embedder("large")).fingerprint


def test_an_embedders_vectors_get_length_one() -> None:
    assert encoder(Embedder("small")).encode_queries(["a"]).values.tolist() == [[np.float32(0.6), np.float32(0.8)]]
    assert encoder(Embedder("small")).encode_documents([]).values.shape == (0, 2)


def test_an_embedder_that_gives_other_vectors_than_before_is_refused(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "index", encoder=encoder(Embedder("small")))
    shelf.write([Document("a", "a text")])
    settings = retr.SearchSettings(mode="dense")
    again = Shelf(tmp_path / "index", encoder=encoder(Embedder("small", turn=0.01)))
    assert [hit.id for hit in again.by_text("a", 1, settings=settings)] == ["a"]
    with pytest.raises(Mismatch, match=r"cosine 0\.\d+"):
        Shelf(tmp_path / "index", encoder=encoder(Embedder("small", turn=9.0))).by_text("a", 1, settings=settings)


@pytest.mark.parametrize("name", ["langchain", "haystack", "llamaindex"])
def test_without_the_framework_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from importlib import import_module

    package = {"langchain": "langchain_core", "haystack": "haystack", "llamaindex": "llama_index.core"}[name]
    for module in [module for module in sys.modules if module.startswith(f"retr.integrations.{name}")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotFound, match=rf"pip install 'retr\[{name}\]'"):
        import_module(f"retr.integrations.{name}")
