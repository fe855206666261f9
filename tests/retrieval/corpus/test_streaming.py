"""Reading is a stream: memory does not grow with the input."""

import json
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from retr.retrieval.corpus import ReadReport, read_documents

ROWS = 20_000
TEXT = "a text of some length that is not the same in each row; " * 8


def write_rows(path: Path) -> None:
    rows = ({"id": f"d{number}", "text": f"{number} {TEXT}"} for number in range(ROWS))
    if path.suffix == ".jsonl":
        with path.open("w") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(rows)))
    elif path.suffix == ".csv":
        path.write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows))
    else:
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path, row_group_size=2000, use_dictionary=False)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    write_rows(path)
    for document in read_documents([path]):
        assert document.id == "d0"
        break
    arrow_before = pyarrow.total_allocated_bytes()
    arrow_peak = 0
    tracemalloc.start()
    for count, _ in enumerate(read_documents([path]), start=1):
        if count % 500 == 1:
            arrow_peak = max(arrow_peak, pyarrow.total_allocated_bytes() - arrow_before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == ROWS
    assert ROWS * len(TEXT) > 8_000_000
    assert peak < 2_500_000
    assert arrow_peak < 4_000_000


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("text")
    (tmp_path / "c.jsonl").write_text("broken")
    report = ReadReport()
    stream = read_documents([tmp_path], None, report)
    assert report.documents == 0
    assert next(stream).id == "a.txt"
    assert (report.documents, report.bytes, report.bytes_total) == (1, 4, 14)
