"""One commit's documents, passages and vectors as files: written once, then only read.

documents.parquet   one row a document: id, title, text, metadata, source, hashes
passages.npy        one record a passage: its document's number, ordinal, start and end in the document's text
dense.npy           one float32 vector a passage; absent without an encoder
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.manifest import Segment
from retr.retrieval.errors import Damaged
from retr.retrieval.records import Document

DOCUMENTS, PASSAGES, DENSE = "documents.parquet", "passages.npy", "dense.npy"
PASSAGE = np.dtype([("document", "<i8"), ("ordinal", "<i4"), ("start", "<i8"), ("end", "<i8")])
_GROUP_DOCUMENTS = 512
_GROUP_BYTES = 4 << 20
_CONTENT = ["id", "title", "text", "metadata", "source"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One document as it is written: `text_hash` covers what is encoded, `record_hash` everything."""

    document: Document
    spans: Sequence[tuple[int, int]]
    text_hash: bytes
    record_hash: bytes


def to_json(value: Any) -> str:
    """JSON with sorted keys, so that equal values give equal text; NaN refused."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))


def write_segment(
    folder: Path, entries: Sequence[Entry], vectors: NDArray[np.float32] | None, *, first_document: int
) -> list[str]:
    """Write the files into an existing folder; gives their names. Nothing is synced."""
    _write_documents(folder / DOCUMENTS, entries)
    passages = np.array(
        [
            (first_document + number, ordinal, start, end)
            for number, entry in enumerate(entries)
            for ordinal, (start, end) in enumerate(entry.spans)
        ],
        PASSAGE,
    )
    with (folder / PASSAGES).open("wb") as file:
        np.save(file, passages, allow_pickle=False)
    if vectors is None:
        return [DOCUMENTS, PASSAGES]
    with (folder / DENSE).open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
    return [DOCUMENTS, PASSAGES, DENSE]


def _write_documents(path: Path, entries: Sequence[Entry]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [(name, pa.string()) for name in _CONTENT] + [("text_hash", pa.binary(16)), ("record_hash", pa.binary(16))]
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(entries):
            documents = [entry.document for entry in group]
            columns: list[list[Any]] = [
                [document.id for document in documents],
                [document.title for document in documents],
                [document.text for document in documents],
                [to_json(dict(document.metadata)) for document in documents],
                [to_json(dict(document.source)) for document in documents],
                [entry.text_hash for entry in group],
                [entry.record_hash for entry in group],
            ]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    group: list[Entry] = []
    size = 0
    for entry in entries:
        group.append(entry)
        size += len(entry.document.text)
        if len(group) >= _GROUP_DOCUMENTS or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


class OpenSegment:
    """A segment's files, opened for reading. They stay readable when a later generation removes them."""

    def __init__(self, folder: Path, facts: Segment, dim: int | None) -> None:
        import pyarrow.parquet as pq

        self.facts = facts
        self._path = folder / "segments" / facts.name
        try:
            self._documents = pq.ParquetFile(self._path / DOCUMENTS, memory_map=True)
            self.passages: NDArray[Any] = np.load(self._path / PASSAGES, mmap_mode="r", allow_pickle=False)
            self.vectors: NDArray[np.float32] | None = self._load_vectors(dim) if dim is not None else None
        except (ValueError, OSError) as error:
            raise Damaged(f"The segment {str(self._path)!r} cannot be read ({error}). Run: retr check") from None
        metadata = self._documents.metadata
        groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._group_ends = np.cumsum(groups, dtype=np.int64)
        if metadata.num_rows != facts.documents or len(self.passages) != facts.rows or self.passages.dtype != PASSAGE:
            raise Damaged(f"The segment {str(self._path)!r} does not hold the rows its manifest names. Run: retr check")

    def _load_vectors(self, dim: int) -> NDArray[np.float32]:
        if not self.facts.rows:
            return np.empty((0, dim), np.float32)
        vectors: NDArray[np.float32] = np.load(self._path / DENSE, mmap_mode="r", allow_pickle=False)
        if vectors.shape != (self.facts.rows, dim) or vectors.dtype != np.float32:
            raise Damaged(f"{str(self._path / DENSE)!r} holds {vectors.dtype} {vectors.shape}. Run: retr check")
        return vectors

    @property
    def documents_path(self) -> str:
        """The Parquet file, for a query engine."""
        return str(self._path / DOCUMENTS)

    def documents(self, numbers: Sequence[int]) -> dict[int, Document]:
        """Some documents by their number in the collection; only the row groups that hold them are read."""
        local = np.asarray(sorted(numbers), np.int64) - self.facts.first_document
        found: dict[int, Document] = {}
        groups = np.searchsorted(self._group_ends, local, side="right")
        for group in np.unique(groups):
            start = int(self._group_ends[group - 1]) if group else 0
            table = self._documents.read_row_group(int(group), columns=_CONTENT, use_threads=False)
            for number in local[groups == group]:
                row = {name: table.column(name)[int(number) - start].as_py() for name in _CONTENT}
                row["metadata"], row["source"] = json.loads(row["metadata"]), json.loads(row["source"])
                found[int(number) + self.facts.first_document] = Document(**row)
        return found

    def recorded(self) -> Iterator[tuple[int, str, bytes, bytes]]:
        """(number, id, text hash, record hash) of every document, dead ones too, in order."""
        number = self.facts.first_document
        for batch in self._documents.iter_batches(columns=["id", "text_hash", "record_hash"], batch_size=8192):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield number, *row
                number += 1
