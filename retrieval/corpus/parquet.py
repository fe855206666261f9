"""Parquet: one document a row, a record batch at a time."""

from collections.abc import Iterator
from typing import Any

from retr.retrieval.corpus.records import RowReader, json_value
from retr.retrieval.corpus.report import Problem, Rejected, one_line
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document

BATCH_ROWS = 512


def read_parquet(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """One document a row; `source["row"]` counts from 1. The id and title columns are converted like any text field."""
    assert file.path is not None
    if file.size == 0:
        return
    rows = RowReader(file, settings, convert=json_value, counter="row")
    number = 0
    with file.path.open("rb") as stream:
        for batch, total in _batches(stream):
            for row in batch:
                number += 1
                file.line = number
                yield rows.document(row, number)
            file.consumed = file.size * number // max(total, 1)


def _batches(stream: Any) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Batches of rows, each with the number of rows of the whole file; Rejected for a damaged file."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(stream, pre_buffer=False)
        total = table.metadata.num_rows
        for batch in table.iter_batches(batch_size=BATCH_ROWS):
            yield batch.to_pylist(), total
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Rejected(one_line(f"damaged Parquet: {error}")) from None
