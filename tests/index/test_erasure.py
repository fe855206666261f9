"""Deleted documents are in no file once compacted, and the proof of it finds every kind of remnant that is planted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.erasing import erasure
from retr.index.erasing.erasure import ErasureReport, check_erased, compact_verified, probes_of, verify_erased
from retr.index.erasing.needles import Needles, searchable, unpacked
from retr.index.erasing.probing import ProbeSettings
from retr.index.late import segment
from retr.index.snapshot import open_snapshot
from retr.index.writing import merging
from retr.retrieval.errors import Damaged
from retr.retrieval.records import Document

SHARED = "Every document of this collection has these words at its beginning, dead or alive."


def document(number: int, word: str = "kept") -> Document:
    own = f"{word}{number}zq"
    return Document(
        f"{word}-document-{number}",
        f"{SHARED} Only {own} has what follows: the {own} of {own}, as long as {number} days.",
        title=f"About {own}",
        metadata={"number": number, "remark": f"A remark on {own} alone"},
        source={"path": f"{own}.txt"},
    )


KEPT = [document(number) for number in range(20)]
SECRET = [document(number, "secret") for number in range(5)]


@pytest.fixture
def filled(collection: Collection) -> Collection:
    """Twenty documents that stay, and five that were deleted but not yet erased."""
    collection.add([*KEPT, *SECRET])
    collection.delete([one.id for one in SECRET])
    return collection


def planted(collection: Collection, save: Callable[[Path], None], plant: Callable[[Path], None]) -> ErasureReport:
    """The report after a compaction, with something saved before it put back."""
    folder = collection.folder
    save(folder)
    probes = probes_of(open_snapshot(folder))
    before = verify_erased(folder, probes)
    collection.compact()
    assert verify_erased(folder, probes, before=before).erased
    plant(folder)
    return verify_erased(folder, probes, before=before)


def test_nothing_deleted_is_left_after_a_compaction(filled: Collection) -> None:
    report, proof = compact_verified(filled)
    assert (report.erased, report.documents) == (5, 20)
    assert (proof.documents, proof.sampled) == (5, 5)
    assert (proof.found, proof.blind, proof.seen, proof.erased) == ((), (), {}, True)
    kinds = {"id", "title", "text", "metadata", "source", "text_hash", "record_hash", "vector", "word"}
    assert kinds <= proof.probes.keys()
    assert proof.bytes_searched > report.bytes
    check_erased(proof)


@pytest.mark.parametrize("few", [0, 1000])
def test_codes_of_deleted_tokens_are_found_before_and_gone_after(
    tmp_path: Path, token_encoder: Any, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "SCANNED", few)
    collection = Collection.create(tmp_path / "late", encoder=token_encoder)
    collection.add([*KEPT[:10], *SECRET])
    collection.add(KEPT[10:])
    collection.delete([one.id for one in SECRET])
    rows = collection._snapshot.rows_of(collection._snapshot.numbers_of(["kept-document-3"])["kept-document-3"])
    kept = collection._snapshot.segments[0].late
    assert kept is not None
    probes = probes_of(open_snapshot(collection.folder))
    proof = verify_erased(collection.folder, probes)
    assert proof.seen["token"] == proof.probes["token"] >= 5
    living = kept.tokens.residuals[kept.tokens.offsets[rows[0]] : kept.tokens.offsets[rows[0] + 1]]
    assert not {row.tobytes() for row in living} & {probe.data for probe in probes.strings if "token" in probe.kind}
    del kept, living
    report, proof = compact_verified(collection)
    assert (report.erased, proof.found, proof.blind, proof.erased) == (5, (), (), True)
    code = next(probe for probe in probes.strings if probe.kind == "token")
    (collection.folder / "left.bin").write_bytes(b"..." + code.data)
    assert any("left.bin" in sentence for sentence in verify_erased(collection.folder, probes).found)


def test_all_of_it_is_found_before_the_compaction(filled: Collection) -> None:
    probes = probes_of(open_snapshot(filled.folder))
    proof = verify_erased(filled.folder, probes)
    certain = {kind: count for kind, count in proof.probes.items() if not kind.startswith("vector as")}
    assert {kind: proof.seen[kind] for kind in certain} == certain
    assert not proof.erased
    assert any("still hold 5 deleted documents" in sentence for sentence in proof.found)
    assert any("25 passages, 5 of them deleted; 20 live" in sentence for sentence in proof.found)
    with pytest.raises(Damaged, match="not proven to be erased"):
        check_erased(proof)


def test_a_piece_that_a_living_document_has_is_not_looked_for(filled: Collection) -> None:
    texts = [probe.data for probe in probes_of(open_snapshot(filled.folder)).strings if probe.kind == "text"]
    assert texts
    assert not any(text in SHARED.encode() for text in texts)


@pytest.mark.parametrize("kind", ["segments", "lexical", "deletes"])
def test_an_old_folder_left_behind_is_named(filled: Collection, tmp_path: Path, kind: str) -> None:
    def save(folder: Path) -> None:
        shutil.copytree(folder / kind, tmp_path / "saved")

    def plant(folder: Path) -> None:
        shutil.copytree(tmp_path / "saved", folder / kind, dirs_exist_ok=True)

    found = planted(filled, save, plant).found
    assert any(sentence.startswith(f"'{kind}/") and "belongs to no generation" in sentence for sentence in found)


def test_a_parquet_file_with_a_dead_row_is_named(filled: Collection, tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        shutil.copy(folder / "segments" / "000001" / "documents.parquet", tmp_path / "saved")

    def plant(folder: Path) -> None:
        shutil.copy(tmp_path / "saved", folder / "backup.parquet")

    found = planted(filled, save, plant).found
    assert any("'backup.parquet' holds 5 rows with ids of deleted documents" in sentence for sentence in found)
    assert any(s.startswith("The text of deleted 'secret-document-0'") and "backup.parquet" in s for s in found)


def test_pages_of_a_parquet_file_without_its_end_are_searched(filled: Collection, tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        data = (folder / "segments" / "000001" / "documents.parquet").read_bytes()
        (tmp_path / "saved").write_bytes(data[: data.index(b"record_hash")])  # the footer begins with the schema

    def plant(folder: Path) -> None:
        shutil.copy(tmp_path / "saved", folder / "half-written")

    found = planted(filled, save, plant).found
    assert any(sentence.startswith("The text of ") and "'half-written'" in sentence for sentence in found)


def test_a_vector_file_with_a_dead_row_is_named(filled: Collection, tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        shutil.copy(folder / "segments" / "000001" / "dense.npy", tmp_path / "saved")

    def plant(folder: Path) -> None:
        shutil.copy(tmp_path / "saved", folder / "vectors.bin")

    found = planted(filled, save, plant).found
    assert found == (
        "The vector of deleted 'secret-document-0', 'secret-document-1', 'secret-document-2' and 2 more is in "
        "'vectors.bin'.",
    )


def test_a_vector_in_another_storage_is_recognised(filled: Collection, tmp_path: Path) -> None:
    dead = filled.encoder.encode_documents([f"{SECRET[3].title} {SECRET[3].text}"])
    values = dead.values  # type: ignore[union-attr]

    def plant(folder: Path) -> None:
        (folder / "halves").write_bytes(values.astype(np.float16).tobytes())

    found = planted(filled, lambda folder: None, plant).found
    assert found == ("The vector as float16 of deleted 'secret-document-3' is in 'halves'.",)


def test_a_word_of_a_dead_passage_is_found_in_the_dictionary(filled: Collection, tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        shutil.copytree(folder / filled.manifest.lexical_folder, tmp_path / "saved")

    def plant(folder: Path) -> None:
        shutil.copytree(tmp_path / "saved", folder / "stray")

    found = planted(filled, save, plant).found
    assert any(sentence.startswith("The word of deleted 'secret-document-0'") for sentence in found)


def test_a_stray_copy_of_a_text_is_named(filled: Collection) -> None:
    def plant(folder: Path) -> None:
        (folder / "notes").mkdir()
        (folder / "notes" / "mine.txt").write_text(f"x{SECRET[2].text[-40:]}x")

    found = planted(filled, lambda folder: None, plant).found
    assert len(found) == 1
    assert found[0].startswith("The text of deleted ") and found[0].endswith(" is in 'notes/mine.txt'.")


def test_an_open_reader_is_named_as_the_reason(filled: Collection, encoder: Any) -> None:
    reader = Collection.open(filled.folder, load=lambda _: encoder)
    report, proof = compact_verified(filled)
    assert report.held == (reader.manifest.generation,)
    assert not proof.erased
    assert f"Generation {report.held[0]} is still there, with all that it holds: a reader has it open." in proof.found
    del reader
    assert filled.compact().held == ()
    assert compact_verified(filled)[1].erased


def test_a_snapshot_is_named_as_the_reason(filled: Collection) -> None:
    filled.snapshot("before")
    proof = compact_verified(filled)[1]
    assert any("snapshot 'before' names it" in sentence for sentence in proof.found)
    assert any(sentence.startswith("The text of deleted 'secret-document-0'") for sentence in proof.found)
    filled.drop_snapshot("before")
    assert compact_verified(filled)[1].erased


def test_a_search_that_does_not_see_what_is_there_proves_nothing(
    filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "unpacked", lambda data: iter(()))
    proof = compact_verified(filled)[1]
    assert proof.found == ()
    assert any("of the kind 'text'" in sentence for sentence in proof.blind)
    assert not proof.erased


def test_the_older_text_of_a_living_document_is_erased(collection: Collection) -> None:
    collection.add([*KEPT, Document("changed", "What stood here at first was quite different.")])
    collection.add([Document("changed", "Now it says something else.")])
    probes = probes_of(open_snapshot(collection.folder))
    assert ("text", "changed") in {(probe.kind, probe.id) for probe in probes.strings}
    assert probes.gone == frozenset()
    assert compact_verified(collection)[1].erased


def test_what_merging_has_left_in_an_older_generation_is_probed(
    filled: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "DEAD_DOCUMENTS", 1)
    filled.delete([one.id for one in KEPT[:10]])
    assert len(filled.manifest.segments) == 1 and not filled.manifest.deletes
    proof = compact_verified(filled)[1]
    assert proof.documents == 15
    assert proof.probes["text"] >= 15 and proof.erased


@pytest.mark.parametrize("kind", ["ivf-flat", "ivf-sq8", "pq", "hnsw", "rabitq"])
def test_a_compaction_into_another_kind_is_proved_too(filled: Collection, kind: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("retr.index.dense.kinds.TRAINABLE", 16)
    _, proof = compact_verified(filled, dense=DenseSettings(kind=kind, storage="int8"))  # type: ignore[arg-type]
    assert (filled.folder / "segments" / filled.manifest.segments[0].name / "dense.faiss").exists()
    assert proof.erased, proof.found


def test_many_deleted_documents_are_sampled_and_counted(collection: Collection) -> None:
    collection.add([document(number, "secret") for number in range(40)])
    collection.delete([f"secret-document-{number}" for number in range(30)])
    probes = probes_of(open_snapshot(collection.folder), ProbeSettings(documents=7))
    assert (probes.documents, probes.sampled, len(probes.gone)) == (30, 7, 30)
    assert len({probe.id for probe in probes.strings}) == 7


def test_a_collection_without_vectors_is_proved_too(tmp_path: Path) -> None:
    collection = Collection.create(tmp_path / "index", encoder=None)
    collection.add([*KEPT, *SECRET])
    collection.delete([one.id for one in SECRET])
    proof = compact_verified(collection)[1]
    assert proof.erased and "vector" not in proof.probes


def test_short_and_foreign_texts_are_probed_as_far_as_they_can_be(collection: Collection) -> None:
    collection.add(
        [*KEPT, Document("a", "ok"), Document("ü" * 9, "Größe und Maß の文書です"), Document("x" * 40, "z" * 90)]
    )
    collection.delete(["a", "ü" * 9, "x" * 40])
    probes = probes_of(open_snapshot(collection.folder))
    assert probes.gone == {"a", "ü" * 9, "x" * 40}
    assert all(searchable(probe.data) for probe in probes.strings if probe.kind != "text_hash")
    assert compact_verified(collection)[1].erased


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    data=st.lists(st.sampled_from([b"\0", b"a", b"b", b"cd", b"needles!", b"12345678"]), max_size=120).map(b"".join),
    strings=st.lists(
        st.lists(st.sampled_from([b"a", b"b", b"cd", b"12345678"]), min_size=1).map(b"".join), max_size=30
    ),
)
def test_needles_are_found_where_python_finds_them(data: bytes, strings: list[bytes]) -> None:
    wanted = [string for string in strings if searchable(string)]
    found = Needles(wanted).found_in(np.frombuffer(data, np.uint8))
    assert found.tolist() == [string[:64] in data for string in wanted]


def test_needles_across_blocks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.index.erasing.needles._BLOCK", 64)
    data = np.random.default_rng(0).integers(0, 256, 1000, np.uint8)
    strings = [data[at : at + size].tobytes() for at in range(0, 930) for size in (8, 23, 64)]
    assert Needles(strings).found_in(data).all()
    assert not Needles([string[::-1] for string in strings]).found_in(data).any()


def test_compressed_content_is_seen_wherever_it_stands() -> None:
    packed = pa.compress(b"a hidden sentence " * 9, codec="zstd", asbytes=True)
    data = b"junk" + packed + b"\x28\xb5\x2f\xfdjunk" + packed[:-4]
    assert [content.tobytes() for content in unpacked(np.frombuffer(data, np.uint8))] == [b"a hidden sentence " * 9]
