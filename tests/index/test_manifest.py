"""A manifest says all that a generation holds; the pointer is switched in one step and proves what it points to."""

import json
import shutil
from pathlib import Path

import pytest

import retr
from retr.index.disk.fsio import Disk, FileFacts
from retr.index.disk.manifest import EncoderFacts, Manifest, Segment, generations_in, read_current, write_current
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound
from retr.retrieval.records import Document


def full(generation: int = 7) -> Manifest:
    facts = FileFacts(3, "a" * 64)
    return Manifest(
        generation=generation,
        encoder=EncoderFacts("bi=x", "f" * 64, 4, "cosine", {"name": "x"}, (0.5, 0.5, 0.5, 0.5)),
        settings={"language": "english"},
        created="2026-01-01T00:00:00+00:00",
        segments=(Segment("000002", 0, 2, 0, 5, {"passages.npy": facts}), Segment("000007", 2, 1, 5, 1, {"x": facts})),
        lexical={"meta.json": facts},
        lexical_folder="lexical/000007",
        deletes={"deletes/000007.bitmap": facts},
        live_documents=2,
        live_passages=4,
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_current(Disk(), tmp_path, full())
    assert read_current(tmp_path) == full()


def test_numbers_follow_on_from_the_segments() -> None:
    assert (full().next_document, full().next_row) == (3, 6)


def test_every_file_is_named_by_its_path() -> None:
    assert sorted(full().files()) == [
        "deletes/000007.bitmap",
        "lexical/000007/meta.json",
        "segments/000002/passages.npy",
        "segments/000007/x",
    ]


def test_the_next_generation_takes_over_the_pointer(tmp_path: Path) -> None:
    write_current(Disk(), tmp_path, full(7))
    write_current(Disk(), tmp_path, full(7).following(live_documents=9))
    assert read_current(tmp_path).generation == 8
    assert generations_in(tmp_path) == [7, 8]


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    table = json.loads(full().to_json()) | {"format": 99}

    class Later(Manifest):
        def to_json(self) -> bytes:
            return json.dumps(table).encode()

    write_current(Disk(), tmp_path, Later(7, None, {}, ""))
    with pytest.raises(Mismatch, match="format 99"):
        read_current(tmp_path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd"])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    manifest = full().following(deletes={name: FileFacts(1, "b" * 64)})
    write_current(Disk(), tmp_path, manifest)
    with pytest.raises(Damaged, match="leads out of the folder"):
        read_current(tmp_path)


def test_a_manifest_cannot_name_folders_elsewhere(tmp_path: Path) -> None:
    manifest = full()
    for changed in (
        manifest.following(lexical_folder="../other"),
        manifest.following(segments=(Segment("../../x", 0, 1, 0, 1, {}),)),
    ):
        write_current(Disk(), tmp_path, changed)
        with pytest.raises(Damaged, match="not one that retr gives"):
            read_current(tmp_path)


@pytest.mark.parametrize("content", [b"", b"manifest-000007.json", b"../x y", b"\xff\xff", b"a b c"])
def test_a_pointer_that_is_none_is_damage(tmp_path: Path, content: bytes) -> None:
    write_current(Disk(), tmp_path, full())
    (tmp_path / "CURRENT").write_bytes(content)
    with pytest.raises(Damaged, match="CURRENT"):
        read_current(tmp_path)


def test_nothing_there_is_not_damage(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No index at"):
        read_current(tmp_path)
    with pytest.raises(NotFound, match="No index at"):
        read_current(tmp_path / "nowhere")


def test_what_a_killed_create_leaves_is_no_index_and_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    retr.create(folder, encoder=retr.GivenVectors(3))
    (folder / "CURRENT").rename(folder / "CURRENT.tmp")
    with pytest.raises(NotFound, match="No index at"):
        retr.open(folder)
    assert retr.create(folder, encoder=retr.GivenVectors(4)).manifest.dim == 4


def test_a_second_generation_without_its_pointer_is_damage(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    retr.create(folder, encoder=None).add([Document("a", "text")])
    shutil.rmtree(folder / "segments")
    (folder / "CURRENT").unlink()
    with pytest.raises(Damaged, match="lost its CURRENT"):
        retr.open(folder)
    with pytest.raises(BadInput, match="already holds an index"):
        retr.create(folder, encoder=None)
