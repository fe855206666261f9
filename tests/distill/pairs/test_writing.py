"""The file of rows: whole or not there, the same bytes again, and training reads it."""

import json
from pathlib import Path

import pytest

pytest.importorskip("sentencex")

from retr.distill.pairs import PairSettings
from retr.distill.pairs.writing import write
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document

TEXT = "A red fox sleeps here. It dreams of mice. It wakes up late."
DOCUMENTS = [
    Document(f"d{number}", f"{TEXT} It is number {number}.\n\nThe end of it comes here.") for number in range(30)
]


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    first = write(iter(DOCUMENTS), tmp_path / "a.jsonl", PairSettings())
    assert write(iter(DOCUMENTS), tmp_path / "b.jsonl", PairSettings()) == first
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == first
    assert first["counts"] == {"documents": 30, "rows": 30, "links": 0}
    assert first["sha256"] != write(iter(DOCUMENTS), tmp_path / "b.jsonl", PairSettings(seed=1))["sha256"]


def test_an_older_file_stays_when_reading_fails(tmp_path: Path) -> None:
    write(iter(DOCUMENTS), tmp_path / "a.jsonl", PairSettings())
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())

    def broken() -> object:
        yield from DOCUMENTS[:3]
        raise BadInput("no more")

    with pytest.raises(BadInput, match="no more"):
        write(broken(), tmp_path / "a.jsonl", PairSettings(seed=1))  # type: ignore[arg-type]
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("method", "says"),
    [("ict", "no passage has two sentences"), ("bfs", "a second paragraph"), ("wlp", "no link, of 0, leads")],
)
def test_documents_without_a_pair_are_refused_and_nothing_is_written(method: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=says):
        write([Document("a", "One short sentence.")], tmp_path / "a.jsonl", PairSettings(method))
    assert list(tmp_path.iterdir()) == []


def test_training_reads_the_rows(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from retr.encoders.training.rows import Rows, RowsSettings

    write(iter(DOCUMENTS), tmp_path / "a.jsonl", PairSettings())
    settings = RowsSettings(str(tmp_path / "a.jsonl"), query_id="query_id", positive_id="positive_id")
    rows = Rows(settings, tmp_path / "rows")
    (batch,) = rows.batches(30, seed=0)
    rows.close()
    assert sorted(batch.query_ids) == sorted(document.id for document in DOCUMENTS)
    assert [(id,) for id in batch.query_ids] == list(batch.ids)
