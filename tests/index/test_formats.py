"""A folder of each older format opens as it is, answers, and becomes one of today's by being written to."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.disk.checking import check_folder
from retr.index.disk.formats import FORMAT
from retr.index.disk.history import kept_generations
from retr.retrieval.records import Document

FIRST = Path(__file__).parent / "formats" / "1"
"""Written by retr 0.1.0: generation 4, and generation 5 with one document more. Documents have been replaced and
deleted in it, and the passages of one are many."""

SECOND = FIRST.parent / "2"
"""Generations 5 and 6 of the same documents: vectors in int8, a segment that was merged and has gaps in its keys."""

IDS = ["d0", "d2", "d5", "d1", "long", "last"]


@pytest.fixture
def folder(quick: Path) -> Path:
    """A copy of the folder of format 1, to be opened and written to."""
    return Path(shutil.copytree(FIRST, quick / "first"))


@pytest.fixture
def old(folder: Path, encoder: Any) -> Collection:
    """That copy, opened."""
    return Collection.open(folder, load=lambda _: encoder)


def sound(collection: Collection) -> None:
    """Nothing is wrong with the folder, and every document is found by its own words in every way."""
    assert check_folder(collection.folder, load=None).problems == []
    for document in collection.get(collection.ids()):
        start = " ".join(document.text.split()[:7])
        for mode in ("dense", "lexical", "hybrid"):
            assert document.id in [hit.id for hit in collection.search(f"{document.title} {start}", 2, mode=mode)]


def found(collection: Collection, query: str) -> set[str]:
    """The ids that any way of searching gives."""
    modes = ("dense", "lexical", "hybrid")
    return {hit.id for mode in modes for hit in collection.search(query, 100, mode=mode)}


def content(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file, but for the lock that opening postings leaves beside them."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".tantivy-meta.lock"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def format_of(collection: Collection) -> int:
    return int(json.loads((collection.folder / collection.manifest.name).read_bytes())["format"])


def test_format_1_answers_and_not_a_byte_of_it_changes(folder: Path, old: Collection) -> None:
    before = content(FIRST)
    assert old.ids() == IDS and len(old) == 6
    assert old.ids("tags is not null and 'old' in tags") == ["d0", "d2", "d5"]
    assert old.ids("nested.even = true or n > 50") == ["d0", "d2", "long"]
    assert [hit.id for hit in old.search("heron", 5, mode="lexical")] == ["last", "d0"]
    assert old.search("word150 stands in passage text", 1, mode="lexical")[0].id == "long"
    assert old.search("the otter was rewritten", 1, mode="dense")[0].id == "d1"
    assert old.search("the otter was rewritten", 1, where="n < 1", mode="dense")[0].id == "d0"
    sound(old)
    assert old.describe()["deleted"] == 3 and format_of(old) == 1
    assert content(folder) == before


@pytest.fixture
def read_only(folder: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder where nobody may write: on a file system mounted so for root, whom permissions do not stop."""
    if os.geteuid():
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)
        return
    there = tmp_path / "mounted"
    there.mkdir()
    mount = ["mount", "--bind", str(folder), str(there)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(there)], check=True)
    yield there
    subprocess.run(["umount", "-l", str(there)], check=True)


def test_it_is_read_where_nobody_may_write(read_only: Path, encoder: Any) -> None:
    assert Collection.open(read_only, load=lambda _: encoder).search("heron", 5)[0].id in IDS


def test_the_first_add_makes_it_one_of_todays(old: Collection) -> None:
    assert old.add([Document("new", "an ibis arrives")]).added == 1
    assert format_of(old) == FORMAT == 3
    assert old.ids() == [*IDS, "new"]
    assert old.search("ibis", 1, mode="lexical")[0].id == old.search("an ibis arrives", 1, mode="dense")[0].id == "new"
    sound(old)


def test_old_documents_that_are_known_are_not_encoded_again(old: Collection, encoder: Any) -> None:
    documents = old.get(["d0", "long"])
    encoder.encoded.clear()
    report = old.add([*documents, Document("d1", "the otter came back", metadata={"n": 1})])
    assert (report.unchanged, report.updated, report.encoded) == (2, 1, 1)
    sound(old)


def test_updates_and_deletes_of_old_documents_reach_every_index(old: Collection) -> None:
    old.add([Document("d2", "a marmot in its place"), Document("d0", "a marmot too")])
    assert old.search("marmot", 5, mode="lexical")[0].id in ("d0", "d2")
    assert not {"d0", "d2"} & {hit.id for hit in old.search("badger heron", 5, mode="lexical")}
    sound(old)
    assert old.delete(["long", "d5", "last"]) == 3
    assert old.ids() == ["d1", "d2", "d0"]
    assert found(old, "stoat heron word3 stands in passage text counsel") == {"d0", "d1", "d2"}
    assert old.search("stoat heron word3 stands", 5, mode="lexical") == []
    assert old.ids("n > 50") == []
    sound(old)


@pytest.mark.usefixtures("eager")
def test_old_segments_merge_with_new_ones(old: Collection) -> None:
    for step in range(9):
        old.add([Document(f"new{step}", f"an ibis of number {step}")])
        if step == 4:
            old.delete(["d5", "new1"])
        sound(old)
    assert set(old.ids()) == {*IDS, *(f"new{step}" for step in range(9))} - {"d5", "new1"}
    assert "000002" not in [segment.name for segment in old.manifest.segments]


def test_it_can_be_compacted(old: Collection) -> None:
    before = {document.id: document for document in old.get(IDS)}
    report = old.compact()
    assert (report.documents, report.erased, report.segments_before, report.segments) == (6, 3, 3, 1)
    assert {document.id: document for document in old.get(IDS)} == before
    assert format_of(old) == 3 and old.ids() == IDS
    sound(old)
    old.delete(["long"])
    assert "long" not in found(old, "word3 stands in passage text")
    sound(old)


def test_its_generations_can_be_gone_back_to(old: Collection) -> None:
    old.add([Document("new", "an ibis arrives")])
    assert 5 in [kept.generation for kept in kept_generations(old.folder)]
    old.rollback(5)
    assert old.ids() == IDS and format_of(old) == 3
    sound(old)
    old.add([Document("newer", "an ibis once more")])
    assert old.ids() == [*IDS, "newer"]
    sound(old)


def test_the_older_of_its_two_generations_can_be_gone_back_to_and_written_on(old: Collection) -> None:
    assert old.rollback() == 6
    assert old.ids() == IDS[:-1]
    sound(old)
    old.add([Document("newer", "an ibis once more")])
    assert old.ids() == [*IDS[:-1], "newer"]
    assert old.delete(["d1"]) == 1
    assert "d1" not in found(old, "the otter was rewritten in the second commit")
    sound(old)


def test_a_snapshot_and_a_copy_of_it_are_sound(old: Collection, quick: Path, encoder: Any) -> None:
    old.snapshot("as-it-was")
    assert old.copy(quick / "copy") == 5
    old.compact()
    assert old.copy(quick / "copy-of-snapshot", of="as-it-was") == 5
    for name in ("copy", "copy-of-snapshot"):
        copy = Collection.open(quick / name, load=lambda _: encoder)
        assert copy.ids() == IDS and format_of(copy) == 1
        sound(copy)
        copy.add([Document("new", "an ibis arrives")])
        assert format_of(copy) == 3
        sound(copy)
    old.rollback("as-it-was")
    assert old.ids() == IDS
    sound(old)


def test_format_2_answers_and_becomes_one_of_todays_by_being_written_to(quick: Path, encoder: Any) -> None:
    folder = Path(shutil.copytree(SECOND, quick / "second"))
    old = Collection.open(folder, load=lambda _: encoder)
    assert old.ids() == IDS and format_of(old) == 2 and "keys.npy" in old.manifest.segments[0].files
    assert old.search("the otter was rewritten", 1, mode="dense")[0].id == "d1"
    assert [hit.id for hit in old.search("heron", 5, mode="lexical")] == ["last", "d0"]
    sound(old)
    assert content(folder) == content(SECOND)
    assert old.manifest.late is None and "late" not in old.describe()["settings"]
    encoder.encoded.clear()
    report = old.add([*old.get(["d0", "long"]), Document("new", "an ibis arrives")])
    assert (report.unchanged, report.added, report.encoded, format_of(old)) == (2, 1, 1, FORMAT)
    sound(old)
    old.delete(["d5"])
    old.compact()
    assert old.ids() == [id for id in [*IDS, "new"] if id != "d5"]
    sound(old)
