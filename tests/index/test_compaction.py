"""A compaction leaves one segment that answers as a fresh build does, and takes nothing from those who read."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.disk.checking import check_folder
from retr.index.lexical.postings import passages_in
from retr.index.settings import CollectionSettings, WriteSettings
from retr.index.writing.compaction import folder_bytes, is_compact
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document

UNMERGED = WriteSettings(merge=False)
QUERIES = ["number7 alpha", "beta", "alpha gamma number3", "unheard"]


def document(number: int, words: str = "alpha beta") -> Document:
    return Document(f"d{number}", f"{words} number{number}", metadata={"n": number})


def churned(collection: Collection) -> list[Document]:
    """Adds, replaces and deletes, without merging; gives what is left, in its order."""
    collection.add([document(n) for n in range(20)], settings=UNMERGED)
    collection.add([document(n, "gamma") for n in range(5, 9)], settings=UNMERGED)
    collection.delete([f"d{n}" for n in range(15, 25)])
    collection.add([document(n, "alpha delta") for n in range(18, 30)], settings=UNMERGED)
    return [
        *map(document, [*range(5), *range(9, 15)]),
        *(document(n, "gamma") for n in range(5, 9)),
        *(document(n, "alpha delta") for n in range(18, 30)),
    ]


def answers(collection: Collection) -> list[list[tuple[str, float]]]:
    return [
        [(hit.id, round(hit.score, 5)) for hit in collection.search(query, 40, mode=mode, where=where)]
        for query in QUERIES
        for mode in ("dense", "lexical", "hybrid")
        for where in (None, "n between 4 and 20")
    ]


def test_it_answers_as_a_fresh_build_does(collection: Collection, encoder: Any, tmp_path: Path) -> None:
    left = churned(collection)
    collection.compact()
    fresh = Collection.create(tmp_path / "fresh", encoder=encoder)
    fresh.add(left)
    assert collection.ids() == fresh.ids() == [one.id for one in left]
    assert answers(collection) == answers(fresh)
    assert folder_bytes(collection.folder) <= 1.1 * folder_bytes(fresh.folder)


def test_it_says_what_it_did(collection: Collection) -> None:
    left = churned(collection)
    before = folder_bytes(collection.folder)
    report = collection.compact()
    assert (report.documents, report.segments_before, report.segments) == (len(left), 3, 1)
    assert report.erased == 4 + 5 and report.generation == collection.manifest.generation
    assert before <= report.bytes_before <= before + 200  # the lock's holder is named in it
    assert report.bytes == folder_bytes(collection.folder) < before
    assert (report.held, report.pinned) == ((), ())


def test_only_what_lives_is_in_the_files(collection: Collection) -> None:
    left = churned(collection)
    collection.compact()
    assert is_compact(collection._snapshot)
    assert sorted(path.name for path in (collection.folder / "segments").iterdir()) == ["000004"]
    assert not list((collection.folder / "deletes").iterdir())
    assert passages_in(collection.folder / collection.manifest.lexical_folder) == (len(left), 0)
    assert collection._snapshot.keys.of(np.arange(len(left))).tolist() == list(range(len(left)))
    assert check_folder(collection.folder, load=None).problems == []


def test_a_second_one_changes_nothing(collection: Collection) -> None:
    churned(collection)
    first = collection.compact()
    second = collection.compact()
    assert (second.generation, second.bytes, second.erased) == (first.generation, first.bytes, 0)


def test_documents_that_came_one_by_one_lie_together(collection: Collection, encoder: Any, tmp_path: Path) -> None:
    documents = [document(n) for n in range(40)]
    for one in documents:
        collection.add([one])
    collection.compact()
    fresh = Collection.create(tmp_path / "fresh", encoder=encoder)
    fresh.add(documents)
    path = collection.folder / "segments" / collection.manifest.segments[0].name / "documents.parquet"
    assert pq.ParquetFile(path).num_row_groups == 1
    assert folder_bytes(collection.folder) <= 1.5 * folder_bytes(fresh.folder)


def test_an_empty_collection_compacts_to_nothing(collection: Collection) -> None:
    assert collection.compact().documents == 0
    collection.add([document(1)])
    collection.delete(["d1"])
    report = collection.compact()
    assert (report.documents, report.segments, report.erased) == (0, 0, 1)
    assert collection.search("alpha") == []
    collection.add([document(2)])
    assert [hit.id for hit in collection.search("alpha")] == ["d2"]
    assert check_folder(collection.folder, load=None).problems == []


def test_a_reader_of_the_old_generation_reads_on(collection: Collection, encoder: Any) -> None:
    churned(collection)
    reader = Collection.open(collection.folder, load=lambda _: encoder)
    generation, before = reader.manifest.generation, answers(reader)
    assert collection.compact().held == (generation,)
    assert answers(reader) == before
    assert reader.get(["d18"]) == [document(18, "alpha delta")]
    reader.refresh()
    assert collection.compact().held == ()
    assert len(list((collection.folder / "segments").iterdir())) == 1


def test_a_snapshot_outlives_it_and_can_be_gone_back_to(collection: Collection) -> None:
    """Keys begin again after a compaction; those of a generation gone back to must not be given twice."""
    collection.add([document(n) for n in range(10)])
    collection.snapshot("before")
    collection.delete([f"d{n}" for n in range(8)])
    assert collection.compact().pinned == ("before",)
    collection.rollback("before")
    collection.add([document(n) for n in range(10, 14)])
    assert collection.ids() == [f"d{n}" for n in range(14)]
    assert [hit.id for hit in collection.search("number12", mode="lexical")] == ["d12"]
    assert [hit.id for hit in collection.search("number3", mode="lexical")] == ["d3"]
    assert check_folder(collection.folder, load=None).problems == []


@pytest.mark.parametrize("storage", ["float16", "int8", "binary"])
@pytest.mark.parametrize("kind", ["flat", "ivf-sq8", "pq", "hnsw"])
def test_vectors_can_be_stored_and_indexed_anew(
    collection: Collection, kind: Any, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.index.dense.kinds.TRAINABLE", 16)
    left = churned(collection)
    collection.compact(dense=DenseSettings(kind=kind, storage=storage))
    assert collection.manifest.segments[0].dense["kind"] == kind
    assert collection.manifest.segments[0].dense["storage"] == storage
    found = collection.search("number7 gamma", 40, mode="dense")
    assert {hit.id for hit in found} == {one.id for one in left}
    collection.add([document(99)])
    assert collection.manifest.segments[1].dense["storage"] == storage
    assert check_folder(collection.folder, load=None).problems == []


def test_vectors_cannot_change_their_length(collection: Collection) -> None:
    collection.add([document(1)])
    with pytest.raises(BadInput, match="Vectors of 32 numbers cannot become 16"):
        collection.compact(dense=DenseSettings(dim=16))


def test_long_documents_keep_all_their_passages(tmp_path: Path, encoder: Any) -> None:
    chunks = CollectionSettings(chunk=ChunkSettings(max_tokens=8, overlap=0))
    collection = Collection.create(tmp_path / "index", encoder=encoder, settings=chunks)
    texts = {f"d{n}": " ".join(f"word{n}x{place}" for place in range(5 + 4 * n)) for n in range(6)}
    for id, text in texts.items():
        collection.add([Document(id, text)], settings=UNMERGED)
    collection.delete(["d0", "d3"])
    collection.compact()
    for n in (1, 2, 4, 5):
        for place in range(5 + 4 * n):
            hit = collection.search(f"word{n}x{place}", 1, mode="lexical")[0]
            assert hit.id == f"d{n}" and f"word{n}x{place}" in hit.text
            assert texts[hit.id][hit.source["start"] : hit.source["end"]] == hit.text
    assert collection.get(["d5"])[0].text == texts["d5"]
