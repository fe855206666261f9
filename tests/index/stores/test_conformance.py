"""What holds of a collection wherever it is kept: the same test over an index folder and over PostgreSQL."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.settings import Mode, SearchSettings, WriteSettings
from retr.index.writing.creation import GivenVectors
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.records import Document

COLOURS, THINGS = ("red", "blue", "green", "grey"), ("fish", "stone", "bird", "tree", "boat")
DOCUMENTS = [
    Document(
        f"d{n}",
        f"the {COLOURS[n % 4]} {THINGS[n % 5]} number {n}",
        title=f"Of {THINGS[n % 5]}s",
        metadata={"year": 2000 + n, "colour": COLOURS[n % 4], "tags": [THINGS[n % 5], n], "deep": {"a": n / 2}},
        source={"path": "x.txt", "line": n},
    )
    for n in range(40)
]
Make, Again = Callable[..., Collection], Callable[[Collection], Collection]
MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")


def test_what_is_added_is_there(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    report = collection.add(DOCUMENTS)
    assert (report.added, report.updated, report.passages) == (40, 0, 40)
    assert len(collection) == collection.count() == 40
    assert collection.ids() == [one.id for one in DOCUMENTS]
    assert collection.get(["d7", "none", "d3"]) == [DOCUMENTS[7], DOCUMENTS[3]]


@pytest.mark.parametrize("mode", MODES)
def test_a_document_is_found_by_its_own_words(make: Make, encoder: Any, mode: Mode) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS)
    hits = collection.search("boats: the grey boat number 19", 5, mode=mode)
    assert (hits[0].id, hits[0].text, hits[0].title) == ("d19", DOCUMENTS[19].text, DOCUMENTS[19].title)
    assert hits[0].metadata == DOCUMENTS[19].metadata
    assert hits[0].source == {"path": "x.txt", "line": 19, "passage": 0, "start": 0, "end": len(DOCUMENTS[19].text)}
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_what_comes_again_unchanged_is_left_alone(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS)
    generation, encoded = collection.manifest.generation, len(encoder.encoded)
    report = collection.add(DOCUMENTS)
    assert (report.unchanged, report.encoded, collection.manifest.generation) == (40, 0, generation)
    assert len(encoder.encoded) == encoded


def test_an_id_that_comes_again_is_replaced_and_counts_as_new(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS[:3])
    report = collection.add([Document("d1", "a purple whale")])
    assert (report.added, report.updated, len(collection)) == (0, 1, 3)
    assert collection.ids() == ["d0", "d2", "d1"]
    assert collection.search("purple whale", 1, mode="lexical")[0].id == "d1"
    assert not collection.search("blue", 3, mode="lexical")


def test_changed_metadata_alone_is_not_encoded_again(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS[:3])
    before, encoded = collection.vectors(["d1"])["d1"], len(encoder.encoded)
    report = collection.add([Document("d1", DOCUMENTS[1].text, DOCUMENTS[1].title, {"year": 1})])
    assert (report.updated, report.encoded, len(encoder.encoded)) == (1, 0, encoded)
    assert np.array_equal(collection.vectors(["d1"])["d1"], before)
    assert collection.ids("year = 1") == ["d1"]


def test_the_same_id_twice_in_one_call_is_refused_and_the_first_kept(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    with pytest.raises(BadInput, match="comes twice"):
        collection.add([Document("a", "one"), Document("a", "two")])
    assert [one.text for one in collection.get(["a"])] == ["one"]


def test_deleting_is_at_once_and_again_does_nothing(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS)
    assert (collection.delete(["d19", "none"]), collection.delete(["d19"])) == (1, 0)
    assert len(collection) == 39
    for mode in MODES:
        found = [hit.id for hit in collection.search("grey boat number 19", 40, mode=mode)]
        assert found and "d19" not in found


def test_mirror_leaves_what_was_given(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS[:10])
    report = collection.add(DOCUMENTS[5:12], settings=WriteSettings(mirror=True))
    assert (report.removed, report.unchanged, report.added) == (5, 5, 2)
    assert collection.ids() == [f"d{n}" for n in range(5, 12)]


def test_each_write_is_a_generation(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    seen = [collection.manifest.generation]
    collection.add(DOCUMENTS[:2])
    seen.append(collection.manifest.generation)
    collection.delete(["d0"])
    seen.append(collection.manifest.generation)
    assert seen == [1, 2, 3]


def test_more_hits_than_there_are_gives_all_there_are(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS[:4])
    assert sorted(hit.id for hit in collection.search("red", 100, mode="dense")) == ["d0", "d1", "d2", "d3"]
    assert not collection.search("red", 3, where="year = 1999")


def test_an_empty_collection_answers_with_nothing(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    assert [collection.search("red", mode=mode) for mode in MODES] == [[], [], []]
    assert (collection.ids(), collection.count("year > 1"), len(collection)) == ([], 0, 0)


def test_a_long_document_is_one_hit_by_its_best_passage(make: Make, encoder: Any) -> None:
    collection = make(encoder, chunk=ChunkSettings(max_tokens=8, overlap=0))
    long = " ".join(f"Word{n} stands here alone." for n in range(30))
    collection.add([Document("long", long), Document("short", "nothing of that kind")])
    assert collection.manifest.live_passages > 10
    for mode in MODES:
        hits = collection.search("word17", 2, mode=mode)
        assert hits[0].id == "long" and "Word17" in hits[0].text
        assert len({hit.id for hit in hits}) == len(hits)
        assert long[hits[0].source["start"] : hits[0].source["end"]] == hits[0].text
    several = collection.search("stands", 5, settings=SearchSettings(mode="lexical", group="passage"))
    assert [hit.id for hit in several] == ["long"] * 5
    assert len({hit.source["passage"] for hit in several}) == 5


def test_a_filter_leaves_k_where_k_match(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS)
    for mode in MODES:
        hits = collection.search("the boat number", 4, where="colour = 'grey' and year >= 2010", mode=mode)
        assert len(hits) == 4
        assert all(hit.metadata["colour"] == "grey" and hit.metadata["year"] >= 2010 for hit in hits)


def test_words_alone_need_no_encoder(make: Make) -> None:
    collection = make(None)
    collection.add(DOCUMENTS)
    assert collection.search("grey boat 19", 1)[0].id == "d19"
    with pytest.raises(BadInput, match="--encoder none"):
        collection.search("grey", mode="dense")


def test_given_vectors_are_found_by_vectors(make: Make) -> None:
    collection = make(GivenVectors(4))
    vectors = np.eye(4, dtype=np.float32)
    collection.add([Document(f"v{n}", "") for n in range(4)], vectors=vectors)
    assert [one.id for one in collection.nearest(vectors[2], 2)[0]] == ["v2", "v0"]
    with pytest.raises(BadInput, match="NaN"):
        collection.nearest(np.array([np.nan, 0, 0, 1], np.float32))
    with pytest.raises(Mismatch):
        collection.add([Document("x", "")], vectors=np.ones((1, 3), np.float32))


def test_another_encoder_is_refused(make: Make, again: Again, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS[:2])
    encoder.fingerprint = "another"
    other = again(collection)
    with pytest.raises(Mismatch, match="fingerprint"):
        other.search("red", mode="dense")


def test_two_open_at_once_see_what_either_writes(make: Make, again: Again, encoder: Any) -> None:
    one = make(encoder)
    two = again(one)
    one.add(DOCUMENTS[:2])
    two.refresh()
    two.add(DOCUMENTS[2:4])
    one.refresh()
    assert one.ids() == two.ids() == ["d0", "d1", "d2", "d3"]


def test_a_hybrid_hit_explains_both_legs(make: Make, encoder: Any) -> None:
    collection = make(encoder)
    collection.add(DOCUMENTS)
    hit = collection.search("grey boat 19", 1, settings=SearchSettings(explain=True))[0]
    assert hit.explain is not None and hit.explain["mode"] == "hybrid"
    assert set(hit.explain) == {"mode", "dense", "lexical", "fusion"}
    terms = hit.explain["lexical"]["terms"]
    assert [part["term"] for part in terms] == ["19", "boat", "grey"]
    assert sum(part["score"] for part in terms) == pytest.approx(hit.explain["lexical"]["score"], abs=1e-4)
    boat = next(part for part in terms if part["term"] == "boat")
    assert (boat["frequency"], boat["documents_with_term"]) == (2.0, 8.0)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-flat"])
@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_kinds_and_storages_find_the_nearest(make: Make, kind: str, storage: str) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1200, 16)).astype(np.float32)
    collection = make(GivenVectors(16), dense=DenseSettings(kind=kind, storage=storage))  # type: ignore[arg-type]
    collection.add([Document(f"v{n}", "", metadata={"n": n}) for n in range(1200)], vectors=vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for query in rng.normal(size=(3, 16)).astype(np.float32):
        scores = unit @ (query / np.linalg.norm(query))
        best = np.argsort(-scores)[:10]
        exact = collection.nearest(query, 10, exact=True)[0]
        assert [one.score for one in exact] == pytest.approx(scores[best].tolist(), abs=2e-3)
        found = {one.id for one in collection.nearest(query, 10)[0]}
        assert len(found & {f"v{n}" for n in best}) >= 8
        few = collection.nearest(query, 10, where="n < 12")[0]
        allowed = np.argsort(-scores[:12])[:10]
        assert [one.id for one in few] == [f"v{n}" for n in allowed]
