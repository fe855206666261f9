"""Runs that are stopped, grown, edited and damaged: what is encoded, what is taken over, what stands at the end."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retr.encoders.bulk import BulkReport, BulkSettings, EncodedFolder, Record, encode_records, open_vectors
from retr.encoders.bulk.assembling import assemble, check_file, ids_path
from retr.encoders.bulk.folder import locked, remove_folder
from retr.encoders.running.pipeline import WindowSettings
from retr.retrieval.embeddings import Embeddings, Vectors
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound

SETTINGS = BulkSettings(shard_texts=8, window=WindowSettings(texts=4))


class Letters:
    """A text's vector counts four letters; the encoder counts its texts."""

    dim, similarity = 4, "cosine"

    def __init__(self, fingerprint: str = "letters", scale: float = 1.0) -> None:
        self.fingerprint, self.scale = fingerprint, np.float32(scale)
        self.encoded: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        self.encoded += texts
        counts = [[1 + text.count(letter) for letter in "0123"] for text in texts]
        return Vectors(self.scale * np.array(counts, np.float32).reshape(-1, 4))

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        return self.encode_documents([f"0{text}" for text in texts])


def records(count: int, start: int = 0) -> list[Record]:
    return [Record(f"id {number}", f"text {number}") for number in range(start, start + count)]


def whole(folder: EncodedFolder) -> tuple[list[str], np.ndarray]:
    blocks = list(folder.blocks())
    return [id for block in blocks for id in block.ids], np.concatenate([block.values for block in blocks])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def encode(folder: Path, given: Sequence[Record] | Iterator[Record], settings: BulkSettings = SETTINGS) -> BulkReport:
    return encode_records(Letters(), given, folder, settings=settings)


def test_ids_and_vectors_are_in_order(tmp_path: Path) -> None:
    report = encode(tmp_path / "v", iter(records(100)))
    folder = open_vectors(tmp_path / "v")
    ids, values = whole(folder)
    assert ids == [f"id {number}" for number in range(100)]
    assert np.array_equal(values, Letters().encode_documents([one.text for one in records(100)]).values)
    assert (len(folder), folder.dim, values.dtype) == (100, 4, np.float32)
    assert (report.texts, report.encoded, report.reused, report.shards) == (100, 100, 0, len(folder.manifest.shards))
    assert report.shards > 5


def test_a_run_that_fails_keeps_its_finished_shards(tmp_path: Path) -> None:
    def stopped() -> Iterator[Record]:
        yield from records(60)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        encode(tmp_path / "v", stopped())
    with pytest.raises(Mismatch, match="not finished"):
        open_vectors(tmp_path / "v")
    report = encode(tmp_path / "v", records(100))
    assert report.reused >= 60 - SETTINGS.largest
    assert (report.encoded + report.reused, report.texts) == (100, 100)
    encode(tmp_path / "straight", records(100))
    assert files(tmp_path / "v") == files(tmp_path / "straight")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 25), max_size=3), st.integers(1, 120))
def test_wherever_runs_are_stopped_the_end_is_the_same(stops: list[int], count: int) -> None:
    class Stopping(Letters):
        left = 10**6

        def encode_documents(self, texts: Sequence[str]) -> Embeddings:
            self.left -= 1
            if self.left < 0:
                raise KeyError("stop")
            return super().encode_documents(texts)

    with TemporaryDirectory() as name:
        place = Path(name)
        encode(place / "straight", records(count))
        for stop in stops:
            encoder = Stopping()
            encoder.left = stop
            with suppress(KeyError):
                encode_records(encoder, records(count), place / "v", settings=SETTINGS)
        encode(place / "v", records(count))
        assert files(place / "v") == files(place / "straight")


def test_the_same_again_encodes_nothing(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(50))
    before = files(tmp_path / "v")
    encoder = Letters()
    report = encode_records(encoder, records(50), tmp_path / "v", settings=SETTINGS)
    assert (encoder.encoded, report.reused, report.shards_reused) == ([], 50, report.shards)
    assert files(tmp_path / "v") == before


def test_an_edit_near_the_start_encodes_its_own_shard_alone(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(400))
    changed = [Record("new", "new text"), *records(400)]
    report = encode(tmp_path / "v", changed)
    assert report.encoded <= 3 * SETTINGS.largest
    ids, values = whole(open_vectors(tmp_path / "v"))
    assert ids[:2] == ["new", "id 0"]
    assert np.array_equal(values, Letters().encode_documents([one.text for one in changed]).values)


def test_what_is_no_longer_named_is_removed(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(100))
    encode(tmp_path / "v", records(100, start=50))
    (tmp_path / "v" / "ids.unfinished").touch()
    encode(tmp_path / "v", records(20, start=500))
    encode(tmp_path / "fresh", records(20, start=500))
    assert files(tmp_path / "v") == files(tmp_path / "fresh")


def test_new_ids_for_known_texts_are_written_and_nothing_is_encoded(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(30))
    report = encode(tmp_path / "v", [Record(f"other {n}", one.text) for n, one in enumerate(records(30))])
    assert report.encoded == 0
    assert whole(open_vectors(tmp_path / "v"))[0][:2] == ["other 0", "other 1"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_cut_off_shard_is_made_again(tmp_path: Path, finished: bool) -> None:
    encode(tmp_path / "v", records(60))
    good = files(tmp_path / "v")
    if not finished:
        (tmp_path / "v" / "manifest.json").unlink()
        (tmp_path / "v" / next(name for name in good if name.startswith("ids"))).unlink()
    path = sorted((tmp_path / "v" / "shards").iterdir())[2]
    path.write_bytes(path.read_bytes()[:-3])
    report = encode(tmp_path / "v", records(60))
    assert 0 < report.encoded <= SETTINGS.largest
    assert files(tmp_path / "v") == good


def test_a_changed_byte_is_noticed_in_reading_and_put_right_by_a_run(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(60))
    good = files(tmp_path / "v")
    path = sorted((tmp_path / "v" / "shards").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(Damaged, match=path.name):
        list(open_vectors(tmp_path / "v").blocks())
    encode(tmp_path / "v", records(60))
    assert files(tmp_path / "v") == good


@pytest.mark.parametrize(
    ("encoder", "settings", "says"),
    [
        (Letters("other"), SETTINGS, "fingerprint is another"),
        (Letters(), BulkSettings(shard_texts=8, dtype="float16"), "dtype float32, not float16"),
        (Letters(), BulkSettings(shard_texts=8, side="queries"), "side documents, not queries"),
        (Letters(), BulkSettings(shard_texts=8, dim=2), "dim 4, not 2"),
        (Letters(), BulkSettings(shard_texts=9), "shard_texts 8, not 9"),
    ],
)
def test_a_folder_of_other_vectors_is_refused(
    tmp_path: Path, encoder: Letters, settings: BulkSettings, says: str
) -> None:
    encode(tmp_path / "v", records(10))
    before = files(tmp_path / "v")
    with pytest.raises(Mismatch, match=says):
        encode_records(encoder, records(10), tmp_path / "v", settings=settings)
    assert files(tmp_path / "v") == before


def test_a_folder_of_somebody_elses_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(BadInput, match=r"thesis\.txt"):
        encode(tmp_path, records(3))
    assert files(tmp_path) == {"thesis.txt": b"x"}
    with pytest.raises(BadInput, match="is a file"):
        encode(tmp_path / "thesis.txt", records(3))


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(3))
    with locked(tmp_path / "v"), pytest.raises(Mismatch, match="Another run writes"):
        encode(tmp_path / "v", records(3))
    encode(tmp_path / "v", records(3))


def test_dim_keeps_the_first_numbers_at_length_one(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(5), BulkSettings(dim=2))
    values = whole(open_vectors(tmp_path / "v"))[1]
    full = Letters().encode_documents([one.text for one in records(5)]).values[:, :2]
    assert values == pytest.approx(full / np.linalg.norm(full, axis=1, keepdims=True), abs=1e-6)
    with pytest.raises(BadInput, match="dim 5 is more than the encoder's 4"):
        encode(tmp_path / "w", records(5), BulkSettings(dim=5))
    assert not (tmp_path / "w").exists()


def test_float16_rounds_and_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    encode_records(Letters(scale=1 / 3), records(5), tmp_path / "v", settings=BulkSettings(dtype="float16"))
    values = whole(open_vectors(tmp_path / "v"))[1]
    assert values.dtype == np.float16
    expected = Letters(scale=1 / 3).encode_documents([one.text for one in records(5)]).values
    assert np.array_equal(values, expected.astype(np.float16))
    with pytest.raises(BadInput, match=r"'id 0' has numbers too large for float16\. Give --dtype float32"):
        encode_records(Letters(scale=1e5), records(5), tmp_path / "w", settings=BulkSettings(dtype="float16"))


def test_nan_names_its_text_and_writes_no_shard(tmp_path: Path) -> None:
    class Broken(Letters):
        def encode_documents(self, texts: Sequence[str]) -> Embeddings:
            found = super().encode_documents(texts)
            found.values[[text == "text 6" for text in texts], 1] = np.nan
            return found

    with pytest.raises(BadInput, match="The vector of 'id 6' holds NaN"):
        encode_records(Broken(), records(8), tmp_path / "v", settings=SETTINGS)
    assert not [name for name in files(tmp_path / "v") if name.startswith("shards") or "unfinished" in name]


def test_queries_go_through_their_own_side(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(5), BulkSettings(side="queries"))
    expected = Letters().encode_queries([one.text for one in records(5)]).values
    assert np.array_equal(whole(open_vectors(tmp_path / "v"))[1], expected)


def test_the_watcher_sees_every_window_and_no_thread_is_left(tmp_path: Path) -> None:
    seen: list[int] = []
    encode_records(
        Letters(), records(50), tmp_path / "v", settings=SETTINGS, watch=lambda one: seen.append(one.encoded)
    )
    assert seen == sorted(seen) and seen[-1] == 50 and len(seen) >= 13
    assert not [thread for thread in threading.enumerate() if thread.name == "retr-ahead"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_one_npy_file_has_all_rows_and_its_ids_beside_it(tmp_path: Path, dtype: str) -> None:
    import pyarrow.parquet as pq

    encode(tmp_path / "v", records(60), BulkSettings(shard_texts=8, dtype=dtype))  # type: ignore[arg-type]
    folder, out = open_vectors(tmp_path / "v"), tmp_path / "all.npy"
    assemble(folder, out)
    values = np.load(out, mmap_mode="r")
    assert (values.dtype, values.shape) == (np.dtype(dtype), (60, 4))
    assert np.array_equal(values, whole(folder)[1])
    assert pq.read_table(ids_path(out)).to_pydict() == {"id": [one.id for one in records(60)]}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_one_parquet_file_has_ids_texts_and_vectors(tmp_path: Path, dtype: str) -> None:
    import duckdb
    import pyarrow.parquet as pq

    settings = BulkSettings(shard_texts=8, dtype=dtype, keep_texts=True)  # type: ignore[arg-type]
    encode(tmp_path / "v", records(60), settings)
    folder, out = open_vectors(tmp_path / "v"), tmp_path / "all.parquet"
    assemble(folder, out)
    table = pq.read_table(out)
    assert table.column_names == ["id", "text", "vector"]
    assert table.schema.field("vector").type.list_size == 4
    assert table["text"].to_pylist() == [one.text for one in records(60)]
    assert np.array_equal(np.array(table["vector"].to_pylist()), whole(folder)[1])
    rows = duckdb.sql(f"select count(*), min(len(vector)) from '{out}' where text = 'text ' || id[4:]").fetchall()
    assert rows == [(60, 4)]


def test_no_record_at_all_is_a_finished_folder(tmp_path: Path) -> None:
    encode(tmp_path / "v", [])
    folder = open_vectors(tmp_path / "v")
    assert (len(folder), list(folder.blocks())) == (0, [])
    assemble(folder, tmp_path / "all.npy")
    assert np.load(tmp_path / "all.npy").shape == (0, 4)


def test_what_cannot_be_a_file_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        check_file(tmp_path)
    with pytest.raises(NotFound, match="There is no folder"):
        check_file(tmp_path / "no" / "x.npy")
    with pytest.raises(NotFound, match="retr encode"):
        open_vectors(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(Damaged, match="is no manifest"):
        open_vectors(tmp_path)


def test_removing_takes_what_is_ours_and_nothing_else(tmp_path: Path) -> None:
    encode(tmp_path / "v", records(10))
    encode(tmp_path / "w", records(10))
    (tmp_path / "w" / "notes.txt").write_text("mine")
    for name in ("v", "w"):
        remove_folder(tmp_path / name)
    assert files(tmp_path) == {"w/notes.txt": b"mine"}
    assert not (tmp_path / "v").exists()
