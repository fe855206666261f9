"""Teachers are asked once about each pair, and labels are found by what they are of, never by where they stood."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from retr.distill.labelling import asking
from retr.distill.labelling.asking import LabelSettings, label_pairs, label_texts
from retr.distill.labelling.keys import listed_id, pair_id, text_id
from retr.distill.labelling.store import Labels
from retr.distill.labelling.taught import Taught
from retr.encoders.training.batches import Batch
from retr.encoders.training.rows import Rows
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound

PAIRS = 36


@pytest.fixture(autouse=True)
def _few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ROWS_AT_ONCE", 3)


def test_every_pair_is_asked_about_once(rows: Any, counting: Any, tmp_path: Path) -> None:
    teacher = counting()
    labels = label_pairs(rows, [teacher], tmp_path / "l")
    assert len(labels) == len(teacher.asked) == len(set(teacher.asked)) == PAIRS
    assert labels.values([pair_id("apple", "apple pie"), pair_id("dove", "candle")])[:, 0].tolist() == [59.0, 46.0]
    again = counting()
    label_pairs(rows, [again], tmp_path / "l")
    assert again.asked == []


def test_a_pair_of_two_rows_is_asked_about_once(write_rows: Any, counting: Any, tmp_path: Path) -> None:
    lines = [{"query": "a", "positive": "b", "negatives": [str(n), "c"]} for n in range(9)]
    rows, teacher = Rows(write_rows(lines), tmp_path / "read"), counting()
    label_pairs(rows, [teacher], tmp_path / "l")
    rows.close()
    assert len(teacher.asked) == len(set(teacher.asked)) == 11


def test_ids_know_order_side_and_where_a_text_ends() -> None:
    assert pair_id("a", "b") != pair_id("b", "a")
    assert pair_id("a", "b", symmetric=True) == pair_id("b", "a", symmetric=True)
    assert pair_id("ab", "c") != pair_id("a", "bc")
    assert text_id("a", "queries") != text_id("a", "documents")
    assert listed_id("q", ["a", "b"], "a") == listed_id("q", ["b", "a"], "a") != listed_id("q", ["a", "c"], "a")


def test_several_teachers_are_averaged_on_the_scale(rows: Any, counting: Any, tmp_path: Path) -> None:
    teachers = [counting(factor=0.01), counting(factor=-0.02)]
    found = label_pairs(rows, teachers, tmp_path / "a", LabelSettings(scale="sigmoid"))
    by_hand = (1 / (1 + np.exp(-0.59)) + 1 / (1 + np.exp(1.18))) / 2
    assert found.values([pair_id("apple", "apple pie")])[0, 0] == pytest.approx(by_hand, abs=1e-6)
    other = label_pairs(rows, teachers[::-1], tmp_path / "b", LabelSettings(scale="sigmoid"))
    assert repr(other) == repr(found)
    clipped = label_pairs(rows, [counting(factor=-1.0)], tmp_path / "c", LabelSettings(scale="clip"))
    assert clipped.values([pair_id("apple", "apple pie")])[0, 0] == 0.0


def test_cut_off_anywhere_and_gone_on_with_gives_the_same_files(rows: Any, counting: Any, tmp_path: Path) -> None:
    settings = LabelSettings(part=8)
    label_pairs(rows, [counting()], tmp_path / "whole", settings)
    for fails_after in (0, 5, 13, 30):
        folder = tmp_path / f"cut-{fails_after}"
        with pytest.raises(KeyboardInterrupt):
            label_pairs(rows, [counting(fails_after=fails_after)], folder, settings)
        rest = counting()
        label_pairs(rows, [rest], folder, settings)
        assert len(rest.asked) >= PAIRS - fails_after
        for part in sorted((tmp_path / "whole" / "parts").iterdir()):
            assert (folder / "parts" / part.name).read_bytes() == part.read_bytes()
    assert len(rest.asked) < PAIRS


def test_killed_at_once_it_goes_on(tmp_path: Path, write_rows: Any, lines: Any) -> None:
    settings = write_rows(lines)
    code = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from conftest import Counting
from retr.distill.labelling import asking
from retr.encoders.training.rows import Rows, RowsSettings
asking.ROWS_AT_ONCE = 3
class Killed(Counting):
    def answer(self, questions):
        if len(self.asked) >= int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(questions)
rows = Rows(RowsSettings({settings.files!r}, negatives="negatives"), Path({str(tmp_path / "read")!r}))
found = asking.label_pairs(rows, [Killed()], Path({str(tmp_path / "l")!r}), asking.LabelSettings(part=10))
print(repr(found))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    command = [sys.executable, "-c", code]
    killed = subprocess.run([*command, "20"], env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "l" / "parts").glob("*.parquet"))) == 1
    rest = subprocess.run([*command, "1000"], env=environment, capture_output=True, text=True, check=True)
    shutil.rmtree(tmp_path / "l")
    whole = subprocess.run([*command, "1000"], env=environment, capture_output=True, text=True, check=True)
    assert rest.stdout == whole.stdout != ""


def test_a_teacher_of_lists_is_asked_whole_lists(rows: Any, counting: Any, tmp_path: Path, lines: Any) -> None:
    teacher = counting(comparable=False)
    labels = label_pairs(rows, [teacher], tmp_path / "l")
    row = lines[0]
    texts = [row["positive"], *row["negatives"]]
    assert labels.values([listed_id("apple", texts, "apple pie")])[0, 0] == 359
    with pytest.raises(NotFound, match="no label"):
        labels.values([pair_id("apple", "apple pie")])


def test_another_teacher_scale_or_kind_of_label_is_refused(rows: Any, counting: Any, tmp_path: Path) -> None:
    label_pairs(rows, [counting()], tmp_path / "l")
    other = counting()
    other.fingerprint = "g"
    with pytest.raises(Mismatch, match="fingerprint"):
        label_pairs(rows, [other], tmp_path / "l")
    with pytest.raises(Mismatch, match="fingerprint"):
        label_pairs(rows, [counting()], tmp_path / "l", LabelSettings(scale="sigmoid"))
    with pytest.raises(Mismatch, match="symmetric False"):
        label_pairs(rows, [counting()], tmp_path / "l", LabelSettings(symmetric=True))


def test_what_stands_in_the_way_is_named(rows: Any, counting: Any, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match="other than labels"):
        label_pairs(rows, [counting()], tmp_path / "full")
    with pytest.raises(NotFound, match="no folder"):
        label_pairs(rows, [counting()], tmp_path / "no" / "l")
    with pytest.raises(BadInput, match="no teacher"):
        label_pairs(rows, [], tmp_path / "l")
    with pytest.raises(NotFound, match="No labels"):
        Labels(tmp_path)
    with pytest.raises(BadInput, match="NaN"):
        label_pairs(rows, [counting(factor=float("nan"))], tmp_path / "l")
    assert list((tmp_path / "l" / "parts").iterdir()) == []


def test_a_damaged_part_is_named(rows: Any, counting: Any, tmp_path: Path) -> None:
    label_pairs(rows, [counting()], tmp_path / "l")
    part = tmp_path / "l" / "parts" / "000000.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    for read in (lambda: Labels(tmp_path / "l"), lambda: label_pairs(rows, [counting()], tmp_path / "l")):
        with pytest.raises(Damaged, match="000000"):
            read()
    (tmp_path / "l" / "labels.json").write_text("{}")
    with pytest.raises(Damaged, match=r"labels\.json"):
        Labels(tmp_path / "l")


def test_duckdb_reads_labels_and_where_they_are_from(rows: Any, counting: Any, tmp_path: Path) -> None:
    label_pairs(rows, [counting()], tmp_path / "l", LabelSettings(part=8))
    parts = str(tmp_path / "l" / "parts" / "*.parquet")
    with duckdb.connect() as connection:
        count, width = connection.execute(
            "SELECT count(*), any_value(len(values)) FROM read_parquet(?)", [parts]
        ).fetchall()[0]
        told = connection.execute(
            "SELECT teacher, data FROM read_json(?)", [str(tmp_path / "l" / "labels.json")]
        ).fetchall()
        kept = connection.execute(
            "SELECT DISTINCT value FROM parquet_kv_metadata(?) WHERE key = 'retr'", [parts]
        ).fetchall()
    assert (count, width) == (PAIRS, 1)
    assert told == [("counting", {"rows.jsonl": rows.hashes["rows.jsonl"]})]
    assert b'"fingerprint"' in kept[0][0]


def test_labels_reach_a_batch_by_id(rows: Any, counting: Any, tmp_path: Path, lines: Any) -> None:
    labels = label_pairs(rows, [counting()], tmp_path / "l")
    batch = Batch(("dove", "apple"), ("dove pie", "apple pie"), (("candle",), ("lamp", "kite")))
    taught = Taught(lambda student, batch: batch, labels)  # type: ignore[arg-type,return-value]
    assert taught.labelled(batch).scores == ((48.0, 46.0), (59.0, 54.0, 54.0))
    assert replace(taught, into="label").labelled(batch).labels == (48.0, 59.0)
    with pytest.raises(NotFound, match="1 of 2 ids"):
        taught.labelled(Batch(("dove",), ("dove pie",), (("unseen",),)))


def test_parts_in_another_order_are_the_same_labels(rows: Any, counting: Any, tmp_path: Path) -> None:
    found = label_pairs(rows, [counting()], tmp_path / "l", LabelSettings(part=8))
    parts = sorted((tmp_path / "l" / "parts").iterdir())
    parts[0].rename(tmp_path / "first")
    parts[-1].rename(parts[0])
    (tmp_path / "first").rename(parts[-1])
    assert repr(Labels(tmp_path / "l")) == repr(found)


class Lengths:
    """Vectors of a text's length and its side."""

    dim, similarity, fingerprint = 2, "dot", "lengths"

    def encode_queries(self, texts: list[str]) -> Vectors:
        return Vectors(np.array([[len(text), 0] for text in texts], np.float32))

    def encode_documents(self, texts: list[str]) -> Vectors:
        return Vectors(np.array([[len(text), 1] for text in texts], np.float32))


def test_vectors_are_kept_by_text_and_side(rows: Any, tmp_path: Path) -> None:
    labels = label_texts(rows, Lengths(), name="lengths", folder=tmp_path / "l")  # type: ignore[arg-type]
    assert labels.values([text_id("dove", "queries"), text_id("dove", "documents")]).tolist() == [[4, 0], [4, 1]]
    assert len(labels) == 12 + 24
    with pytest.raises(Mismatch, match="score a pair"):
        Taught(lambda student, batch: batch, labels)  # type: ignore[arg-type,return-value]
