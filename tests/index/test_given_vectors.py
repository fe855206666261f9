"""Vectors that users bring themselves, vectors cut to their first numbers, and searches by vector alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import retr
from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.settings import CollectionSettings, WriteSettings
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.records import Document

DIM = 8


def unit(rows: int, seed: int = 0, dim: int = DIM) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def documents(count: int, **metadata: Any) -> list[Document]:
    return [Document(f"d{n}", f"text {n}", metadata={"n": n, **metadata}) for n in range(count)]


@pytest.fixture
def given(tmp_path: Path) -> Collection:
    collection = retr.create(tmp_path / "given", encoder=retr.GivenVectors(DIM))
    collection.add(documents(20), vectors=unit(20))
    return collection


def test_nearest_gives_brute_forces_ids_and_scores(given: Collection) -> None:
    queries, values = unit(3, seed=1), unit(20)
    answers = given.nearest(queries, k=5)
    for query, answer in zip(queries, answers, strict=True):
        scores = values @ query
        best = np.argsort(-scores)[:5]
        assert [near.id for near in answer] == [f"d{n}" for n in best]
        assert [near.score for near in answer] == pytest.approx(scores[best].tolist(), abs=1e-6)
    assert given.nearest(queries[0], k=5) == answers[:1]
    assert [near.id for near in given.nearest(queries[0], k=20, where="n < 3", exact=True)[0]] == [
        f"d{n}" for n in np.argsort(-(values[:3] @ queries[0]))
    ]


def test_a_folder_of_given_vectors_opens_without_an_encoder(given: Collection) -> None:
    again = retr.open(given.folder)
    assert again.nearest(unit(20)[4], k=1)[0][0].id == "d4"
    with pytest.raises(BadInput, match="has no encoder"):
        again.search("text 4")
    with pytest.raises(BadInput, match="vectors="):
        again.add([Document("x", "new")])
    assert [hit.id for hit in again.search("4", mode="lexical")] == ["d4"]


def test_length_does_not_matter_for_cosine(tmp_path: Path) -> None:
    collection = retr.create(tmp_path / "i", encoder=retr.GivenVectors(DIM))
    collection.add(documents(5), vectors=unit(5) * np.array([[1], [2], [30], [0.1], [5]], np.float32))
    near = collection.nearest(7 * unit(5)[2], k=1)[0][0]
    assert (near.id, near.score) == ("d2", pytest.approx(1, abs=1e-6))


def test_length_matters_for_the_inner_product(tmp_path: Path) -> None:
    collection = retr.create(tmp_path / "i", encoder=retr.GivenVectors(2, similarity="dot"))
    collection.add(documents(2), vectors=np.array([[1, 0], [5, 5]], np.float32))
    assert collection.nearest(np.array([1, 0], np.float32), k=2)[0] == [("d1", 5.0), ("d0", 1.0)]


def test_a_document_with_a_vector_needs_no_text(tmp_path: Path) -> None:
    collection = retr.create(tmp_path / "i", encoder=retr.GivenVectors(DIM))
    collection.add([Document("picture", "")], vectors=unit(1))
    assert collection.nearest(unit(1)[0], k=1)[0][0].id == "picture"
    assert collection.get(["picture"]) == [Document("picture", "")]


def test_the_same_vector_and_text_again_is_unchanged_and_another_vector_is_an_update(given: Collection) -> None:
    values = unit(20)
    assert given.add(documents(20), vectors=values).unchanged == 20
    values[3] = unit(1, seed=9)
    report = given.add(documents(20), vectors=values)
    assert (report.unchanged, report.updated) == (19, 1)
    assert given.nearest(values[3], k=1)[0][0] == ("d3", pytest.approx(1, abs=1e-6))


@pytest.mark.parametrize(
    ("vectors", "error", "part"),
    [
        (np.zeros((20, DIM), np.float32), BadInput, "Vector 0 is all zeros"),
        (np.full((20, DIM), np.nan, np.float32), BadInput, "NaN or infinite"),
        (unit(20, dim=DIM - 1), Mismatch, r"the shape \[20, 7\]; .* need \[20, 8\]"),
        (unit(19), Mismatch, r"the shape \[19, 8\]"),
        (unit(20)[0], Mismatch, r"the shape \[8\]"),
    ],
)
def test_vectors_that_cannot_be_stored_are_refused(
    tmp_path: Path, vectors: NDArray[np.float32], error: type[Exception], part: str
) -> None:
    collection = retr.create(tmp_path / "i", encoder=retr.GivenVectors(DIM))
    with pytest.raises(error, match=part):
        collection.add(documents(20), vectors=vectors)
    assert len(collection) == 0


@pytest.mark.parametrize("query", [np.zeros(DIM), np.full(DIM, np.inf), np.ones(DIM + 1), np.ones((1, 1, DIM))])
def test_queries_that_cannot_be_compared_are_refused(given: Collection, query: NDArray[np.float64]) -> None:
    with pytest.raises((BadInput, Mismatch)):
        given.nearest(query.astype(np.float32))


@pytest.mark.parametrize(("dim", "similarity"), [(0, "cosine"), (4, "euclid")])
def test_stand_ins_that_make_no_sense_are_refused(dim: int, similarity: Any) -> None:
    with pytest.raises(BadInput):
        retr.GivenVectors(dim, similarity)


def test_a_collection_without_vectors_cannot_be_asked_for_the_nearest(tmp_path: Path) -> None:
    collection = retr.create(tmp_path / "i", encoder=None)
    with pytest.raises(BadInput, match="has no vectors"):
        collection.nearest(np.ones(4, np.float32))


def test_the_first_numbers_alone_are_kept_and_made_unit_again(tmp_path: Path, encoder: Any) -> None:
    settings = CollectionSettings(dense=DenseSettings(dim=12))
    collection = Collection.create(tmp_path / "i", encoder=encoder, settings=settings)
    texts = ["heron fish", "swift sky", "badger sett"]
    collection.add([Document(text, text) for text in texts])
    cut = encoder.encode_queries(texts).values[:, :12]
    cut /= np.linalg.norm(cut, axis=1, keepdims=True)
    stored = np.load(next(collection.folder.glob("segments/*/dense.npy")))
    assert stored.shape == (3, 12)
    assert np.allclose(stored, cut, atol=1e-6)
    assert collection.search("swift sky", k=1, mode="dense")[0].score == pytest.approx(1, abs=1e-5)
    whole = encoder.encode_queries(["badger sett"]).values[0]
    assert collection.nearest(whole, k=1)[0][0] == ("badger sett", pytest.approx(1, abs=1e-5))


def test_given_vectors_are_cut_as_well(tmp_path: Path) -> None:
    settings = CollectionSettings(dense=DenseSettings(dim=3))
    collection = retr.create(tmp_path / "i", encoder=retr.GivenVectors(DIM), settings=settings)
    values = unit(10)
    collection.add(documents(10), vectors=values)
    assert collection.nearest(values[6], k=1)[0][0] == ("d6", pytest.approx(1, abs=1e-6))


def test_more_numbers_than_the_encoder_gives_cannot_be_kept(tmp_path: Path) -> None:
    settings = CollectionSettings(dense=DenseSettings(dim=9))
    with pytest.raises(BadInput, match="dim 9 is more than the encoder's 8"):
        retr.create(tmp_path / "i", encoder=retr.GivenVectors(DIM), settings=settings)
    assert not (tmp_path / "i").exists()


def test_documents_of_several_passages_come_once_with_their_best(tmp_path: Path, encoder: Any) -> None:
    collection = Collection.create(tmp_path / "i", encoder=encoder)
    long = " ".join(f"heron number {n} stands in water." for n in range(400))
    collection.add([Document("long", long), Document("short", "swift in the sky")])
    assert collection.manifest.live_passages > 3
    found = collection.nearest(encoder.encode_queries(["heron stands in water"]).values[0], k=2)[0]
    assert [near.id for near in found] == ["long", "short"]


def test_count_says_how_many_match(given: Collection) -> None:
    given.delete(["d0", "d1"])
    assert (given.count(), given.count("n < 5"), given.count("n < 0")) == (18, 3, 0)


def test_what_was_read_of_a_segment_outlives_a_refresh(given: Collection) -> None:
    given.nearest(unit(1)[0], where="n < 5")
    before = given._snapshot.segments[0]
    given.add([Document("more", "")], vectors=unit(1, seed=3), settings=WriteSettings(merge=False))
    after = given._snapshot.segments[0]
    assert after.dense is before.dense
    assert after.filter is before.filter


def test_the_manifest_says_who_wrote_it(given: Collection) -> None:
    assert given.manifest.written_by == f"retr {retr.__version__}"


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_waiting_is_for_a_number_of_seconds(given: Collection, seconds: float) -> None:
    with pytest.raises(BadInput, match="seconds to wait"):
        given.delete(["d0"], wait_seconds=seconds)
    with pytest.raises(BadInput, match="seconds to wait"):
        WriteSettings(wait_seconds=seconds)


def test_an_index_is_not_copied_into_itself(given: Collection) -> None:
    with pytest.raises(BadInput, match="inside the index"):
        given.copy(given.folder / "segments" / "copy")
