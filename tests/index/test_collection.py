"""A collection keeps what it is given, finds it, replaces it, forgets it, and encodes nothing twice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.settings import SearchSettings, WriteSettings
from retr.retrieval.embeddings import TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.records import Document

ANIMALS = [
    Document("fox", "The quick brown fox jumps.", title="Fox", metadata={"legs": 4, "wild": True}),
    Document("dog", "The lazy dog sleeps all day.", title="Dog", metadata={"legs": 4, "wild": False}),
    Document("owl", "An owl hunts mice at night.", title="Owl", metadata={"legs": 2, "wild": True}),
]


def ids(hits: list[Any]) -> list[str]:
    return [hit.id for hit in hits]


def reopened(collection: Collection, encoder: Any) -> Collection:
    return Collection.open(collection.folder, load=lambda _: encoder)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_a_document_is_found_by_its_own_words(collection: Collection, mode: str) -> None:
    collection.add(ANIMALS)
    assert collection.search("owl hunts mice", k=1, mode=mode)[0].id == "owl"


def test_a_hit_says_what_matched_and_where_it_stands(collection: Collection) -> None:
    collection.add([Document("a", "Words here.", title="T", metadata={"n": 1}, source={"path": "x.txt", "line": 3})])
    hit = collection.search("words")[0]
    assert (hit.id, hit.rank, hit.title, hit.text, hit.metadata) == ("a", 1, "T", "Words here.", {"n": 1})
    assert hit.source == {"path": "x.txt", "line": 3, "passage": 0, "start": 0, "end": 11}
    assert hit.explain is None


def test_reopened_it_gives_the_same_answers(collection: Collection, encoder: Any) -> None:
    collection.add(ANIMALS)
    before = collection.search("a quick dog", k=3)
    assert reopened(collection, encoder).search("a quick dog", k=3) == before


def test_adding_an_id_again_replaces_the_document(collection: Collection) -> None:
    collection.add(ANIMALS)
    report = collection.add([Document("dog", "A cat, in truth.")])
    assert (report.added, report.updated, len(collection)) == (0, 1, 3)
    assert collection.get(["dog"])[0].text == "A cat, in truth."
    assert "dog" not in ids(collection.search("lazy sleeps", mode="lexical"))


def test_an_unchanged_document_is_not_encoded_again(collection: Collection, encoder: Any) -> None:
    collection.add(ANIMALS)
    encoder.encoded.clear()
    report = collection.add(ANIMALS)
    assert (report.unchanged, report.encoded, encoder.encoded) == (3, 0, [])
    assert report.generation == 2


def test_changed_metadata_keeps_the_vector(collection: Collection, encoder: Any) -> None:
    collection.add(ANIMALS)
    encoder.encoded.clear()
    report = collection.add([Document("fox", ANIMALS[0].text, title="Fox", metadata={"legs": 5})])
    assert (report.updated, report.encoded, encoder.encoded) == (1, 0, [])
    assert ids(collection.search("quick brown fox", mode="dense", where="legs = 5")) == ["fox"]


def test_a_deleted_document_is_found_by_no_mode(collection: Collection, encoder: Any) -> None:
    collection.add(ANIMALS)
    assert collection.delete(["owl", "unknown"]) == 1
    for one in (collection, reopened(collection, encoder)):
        assert len(one) == 2
        assert one.ids() == ["fox", "dog"]
        for mode in ("dense", "lexical", "hybrid"):
            assert "owl" not in ids(one.search("owl hunts mice", mode=mode))


def test_a_deleted_document_can_come_back(collection: Collection) -> None:
    collection.add(ANIMALS)
    collection.delete(["owl"])
    assert collection.add(ANIMALS).added == 1
    assert collection.search("owl", k=1)[0].id == "owl"


def test_a_filter_returns_k_when_k_match(collection: Collection) -> None:
    documents = [Document(f"d{n}", f"shared words number {n}", metadata={"n": n}) for n in range(500)]
    collection.add(documents)
    for mode in ("dense", "lexical", "hybrid"):
        hits = collection.search("shared words", k=7, mode=mode, where="n >= 490")
        assert len(hits) == 7
        assert all(hit.metadata["n"] >= 490 for hit in hits)


def test_a_filter_that_nothing_matches_gives_no_hits(collection: Collection) -> None:
    collection.add(ANIMALS)
    assert collection.search("dog", where="legs = 100") == []


def test_k_beyond_the_collection_gives_every_document_once(collection: Collection) -> None:
    collection.add(ANIMALS)
    assert sorted(ids(collection.search("dog", k=50, mode="dense"))) == ["dog", "fox", "owl"]


def test_a_long_document_comes_once_unless_passages_are_asked_for(collection: Collection) -> None:
    collection.add([Document("long", "apple pear plum. " * 300), Document("short", "apple")])
    assert sorted(ids(collection.search("apple", k=10))) == ["long", "short"]
    passages = collection.search("apple", k=10, settings=SearchSettings(group="passage"))
    assert ids(passages).count("long") > 1
    for hit in passages:
        whole = collection.get([hit.id])[0].text
        assert whole[hit.source["start"] : hit.source["end"]] == hit.text


def test_many_queries_give_what_each_gives_alone(collection: Collection) -> None:
    collection.add(ANIMALS)
    queries = ["owl", "lazy dog", "fox mice"]
    assert collection.search_many(queries, 3) == [collection.search(query, 3) for query in queries]


def test_explain_shows_ranks_scores_terms_and_the_fusion(collection: Collection) -> None:
    collection.add(ANIMALS)
    explain = collection.search("owl hunts", k=1, settings=SearchSettings(explain=True))[0].explain
    assert explain is not None
    assert explain["dense"]["rank"] == explain["lexical"]["rank"] == 1
    terms = explain["lexical"]["terms"]
    assert {term["term"] for term in terms} == {"owl", "hunt"}
    assert sum(term["score"] for term in terms) == pytest.approx(explain["lexical"]["score"], abs=1e-4)
    assert sum(explain["fusion"]["contributions"].values()) == pytest.approx(2 / 61)


class Backwards:
    comparable = True
    fingerprint = "backwards"

    def score(self, query: str, texts: list[str]) -> np.ndarray:
        return np.arange(len(texts), dtype=np.float32)


def test_a_reranker_has_the_last_word(collection: Collection) -> None:
    collection.add(ANIMALS)
    plain = ids(collection.search("dog", k=3, mode="dense"))
    assert ids(collection.search("dog", k=3, mode="dense", rerank=Backwards())) == plain[::-1]


def test_an_index_put_in_anothers_place_is_read_and_written(
    collection: Collection, encoder: Any, tmp_path: Path
) -> None:
    collection.add(ANIMALS)
    other = Collection.create(tmp_path / "other", encoder=encoder)
    other.add([Document("cow", "A cow eats grass.")])
    assert other.manifest.generation == collection.manifest.generation
    collection.folder.rename(tmp_path / "old")
    (tmp_path / "other").rename(collection.folder)
    assert collection.refresh() and not collection.refresh()
    assert collection.add([Document("hen", "A hen eats corn.")]).added == 1
    assert collection.ids() == reopened(collection, encoder).ids() == ["cow", "hen"]


def test_a_reader_keeps_its_generation_until_it_refreshes(collection: Collection, encoder: Any) -> None:
    collection.add(ANIMALS)
    reader = reopened(collection, encoder)
    for number in range(4):
        collection.add([Document(f"new{number}", "zebra")])
    collection.delete(["fox"])
    assert len(reader) == 3
    assert ids(reader.search("quick fox", k=1)) == ["fox"]
    assert reader.search("zebra", mode="lexical") == []
    assert reader.refresh()
    assert len(reader.search("zebra", mode="lexical")) == 4
    assert not reader.refresh()


def test_another_encoder_is_refused(collection: Collection, encoder: Any) -> None:
    collection.add(ANIMALS)
    other = type(encoder)(fingerprint="words-2")
    wrong = Collection.open(collection.folder, load=lambda _: other)
    with pytest.raises(Mismatch, match="fingerprint words-1"):
        wrong.search("dog")
    with pytest.raises(Mismatch, match="fingerprint words-1"):
        wrong.add([Document("x", "new")])
    assert ids(wrong.search("dog", k=1, mode="lexical")) == ["dog"]


def test_without_an_encoder_words_still_find(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "words", encoder=None)
    collection.add(ANIMALS)
    assert ids(collection.search("owl")) == ["owl"]
    with pytest.raises(BadInput, match="--encoder none"):
        collection.search("owl", mode="dense")


def test_a_twice_given_id_is_an_error_and_keeps_what_came_before(collection: Collection) -> None:
    with pytest.raises(BadInput, match="'fox' comes twice"):
        collection.add([*ANIMALS, ANIMALS[0]])
    assert len(collection) == 3


def test_a_twice_given_id_can_be_skipped(collection: Collection) -> None:
    report = collection.add([*ANIMALS, Document("fox", "other")], settings=WriteSettings(on_duplicate="skip"))
    assert (report.added, report.duplicates) == (3, 1)
    assert collection.get(["fox"])[0].text == ANIMALS[0].text


def test_mirror_removes_what_did_not_come(collection: Collection) -> None:
    collection.add(ANIMALS)
    report = collection.add(ANIMALS[1:], settings=WriteSettings(mirror=True))
    assert (report.unchanged, report.removed, collection.ids()) == (2, 1, ["dog", "owl"])


def test_an_empty_collection_answers_with_nothing(collection: Collection) -> None:
    for mode in ("dense", "lexical", "hybrid"):
        assert collection.search("anything", mode=mode) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document("", "text"), "id is empty"),
        (Document("x" * 600, "text"), "600 bytes"),
        (Document("a", "  \n"), "has no text"),
        (Document("a", "bad \ud800"), "lone surrogate"),
        (Document("a", 7), "must be a string"),  # type: ignore[arg-type]
        (Document("a", "t", metadata={"x": float("nan")}), "not JSON"),
        (Document("a", "t", metadata={"x": object()}), "not JSON"),
    ],
)
def test_a_document_that_cannot_be_kept_is_refused(collection: Collection, document: Document, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        collection.add([document])
    assert len(collection) == 0


@pytest.mark.parametrize("query", ["", "   ", "x" * 70_000, "\ud800"])
def test_a_query_that_cannot_be_asked_is_refused(collection: Collection, query: str) -> None:
    with pytest.raises(BadInput, match="query"):
        collection.search(query)


@pytest.mark.parametrize("k", [0, -1, 10**9, True, 1.5])
def test_a_number_of_hits_that_makes_no_sense_is_refused(collection: Collection, k: Any) -> None:
    collection.add(ANIMALS)
    with pytest.raises(BadInput, match="k must be"):
        collection.search("dog", k)


def test_a_folder_with_other_files_is_not_made_an_index(tmp_path: Path, encoder: Any) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BadInput, match="holds other files"):
        Collection.create(tmp_path, encoder=encoder)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_index_is_not_made_over_another(collection: Collection, encoder: Any) -> None:
    with pytest.raises(BadInput, match="already holds an index"):
        Collection.create(collection.folder, encoder=encoder)


def test_a_string_is_not_taken_for_a_list_of_ids(collection: Collection) -> None:
    collection.add([Document("a", "x"), Document("b", "y"), Document("ab", "z")])
    for call in (collection.delete, collection.get):
        with pytest.raises(BadInput, match=r"such as \['ab'\]"):
            call("ab")
    assert len(collection) == 3


def test_no_index_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No index at"):
        Collection.open(tmp_path / "nowhere", load=lambda _: None)  # type: ignore[arg-type,return-value]


class Broken:
    dim = 4
    similarity = "dot"
    fingerprint = "broken"

    def __init__(self, values: Any) -> None:
        self.values = values

    def encode_documents(self, texts: list[str]) -> Any:
        return Vectors(np.ones((1, 4), np.float32)) if "golden" in texts[0] else self.values

    encode_queries = encode_documents


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (Vectors(np.full((1, 4), np.nan, np.float32)), "NaN"),
        (Vectors(np.ones((2, 4), np.float32)), "2 vectors for 1 texts"),
        (Vectors(np.ones((1, 5), np.float32)), "dim 4; the vectors have 5"),
        (TokenVectors(np.ones((3, 4), np.float32), np.array([0, 3])), "one a token"),
    ],
)
def test_vectors_that_would_spoil_the_index_are_refused(tmp_path: Path, values: Any, message: str) -> None:
    collection = Collection.create(tmp_path / "i", encoder=Broken(values))
    with pytest.raises((BadInput, Mismatch), match=message):
        collection.add([Document("a", "text")])
    assert len(collection) == 0
