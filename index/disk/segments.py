"""Documents, passages and vectors that were written together, as files: written once, then only read.

documents.parquet   one row a document: id, title, text, metadata, source, hashes
passages.npy        one record a passage: its document, counted in the segment; ordinal, start and end in the text
keys.npy            one key a passage; only where merging has left gaps, otherwise they count on from the first
dense.npy, …        one vector a passage, as `retr.index.dense` stores it; absent without an encoder
late/               vectors of each passage's tokens, as `retr.index.late` codes them; absent without a late encoder
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.parts import DensePart
from retr.index.disk.fsio import Disk, facts_of
from retr.index.disk.manifest import Segment
from retr.index.disk.rowgroups import RowGroups
from retr.index.filters.filtering import DocumentFilter
from retr.retrieval.errors import Damaged
from retr.retrieval.records import Document

if TYPE_CHECKING:
    from retr.index.late.codec import Codec
    from retr.index.late.part import LatePart

DOCUMENTS, PASSAGES, KEYS, LATE = "documents.parquet", "passages.npy", "keys.npy", "late"
PASSAGE = np.dtype([("document", "<i8"), ("ordinal", "<i4"), ("start", "<i8"), ("end", "<i8")])
_GROUP_DOCUMENTS = 512
_GROUP_BYTES = 4 << 20
CONTENT = ["id", "title", "text", "metadata", "source"]


WriteVectors = Callable[[Disk, Path], tuple[list[str], dict[str, Any]]]
"""Writes one kind of vectors into an existing folder, syncing nothing; gives the files' names and what they hold."""


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


class SegmentWriter:
    """Writes one segment's folder: documents as tables, then passages, then vectors; then makes all of it durable."""

    def __init__(self, disk: Disk, folder: Path, name: str) -> None:
        import pyarrow.parquet as pq

        self._disk, self._folder, self._name = disk, folder, name
        self._path = folder / "segments" / name
        disk.make_folder(self._path)
        self._names = [DOCUMENTS, PASSAGES]
        self._parquet = pq.ParquetWriter(self._path / DOCUMENTS, document_schema(), compression="zstd")
        self._documents = 0
        self._waiting: list[Any] = []
        self._rows = self._bytes = 0

    def documents(self, table: Any) -> None:
        """Append a pyarrow table of documents. Small ones come into one row group: each has a price on disk."""
        self._documents += table.num_rows
        self._waiting.append(table)
        self._rows, self._bytes = self._rows + table.num_rows, self._bytes + table.nbytes
        if self._rows >= _GROUP_DOCUMENTS or self._bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._parquet.write_table(pa.concat_tables(self._waiting))
            self._waiting.clear()
            self._rows = self._bytes = 0

    def finish(
        self,
        passages: NDArray[Any],
        keys: NDArray[np.int64],
        *,
        dense: WriteVectors | None = None,
        late: WriteVectors | None = None,
    ) -> Segment:
        """The rest of the files, synced; gives the segment, not yet placed among others."""
        self._write_group()
        self._parquet.close()
        self._save(PASSAGES, passages)
        first_key = int(keys[0]) if len(keys) else 0
        if not np.array_equal(keys, np.arange(first_key, first_key + len(keys))):
            self._save(KEYS, keys)
            self._names.append(KEYS)
            first_key = -1
        of_passages, of_tokens = self._vectors(dense), self._vectors(late, f"{LATE}/")
        for name in self._names:
            self._disk.sync_file(self._path / name)
        for folder in sorted({(self._path / name).parent for name in self._names}, reverse=True):
            self._disk.sync_folder(folder)
        self._disk.sync_folder(self._path.parent)
        self._disk.sync_folder(self._folder)
        return Segment(
            name=self._name,
            first_document=0,
            documents=self._documents,
            first_row=0,
            rows=len(passages),
            files={name: facts_of(self._path / name) for name in self._names},
            dense=of_passages,
            first_key=None if first_key < 0 else first_key,
            late=of_tokens,
        )

    def _vectors(self, write: WriteVectors | None, below: str = "") -> dict[str, Any]:
        if write is None:
            return {}
        if below:
            self._disk.make_folder(self._path / below)
        names, facts = write(self._disk, self._path / below)
        self._names += [f"{below}{name}" for name in names]
        return facts

    def _save(self, name: str, values: NDArray[Any]) -> None:
        with (self._path / name).open("wb") as file:
            np.save(file, values, allow_pickle=False)


def document_schema() -> Any:
    """The columns of documents.parquet."""
    import pyarrow as pa

    return pa.schema(
        [(name, pa.string()) for name in CONTENT] + [("text_hash", pa.binary(16)), ("record_hash", pa.binary(16))]
    )


def document_tables(entries: Sequence[Entry]) -> Iterator[Any]:
    """Entries as pyarrow tables of a row group's size."""
    import pyarrow as pa

    schema = document_schema()
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
        yield pa.Table.from_arrays(arrays, schema=schema)


def passages_of(entries: Sequence[Entry]) -> NDArray[Any]:
    """The records of passages.npy."""
    return np.array(
        [
            (number, ordinal, start, end)
            for number, entry in enumerate(entries)
            for ordinal, (start, end) in enumerate(entry.spans)
        ],
        PASSAGE,
    )


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


def known_codecs(folder: Path, segments: Iterable[Segment]) -> Iterator["Codec"]:
    """The codecs of those segments that hold token vectors, read one by one."""
    from retr.index.late.codec import Codec

    return (Codec.open(folder / "segments" / segment.name / LATE) for segment in segments if segment.late)


class OpenSegment:
    """A segment's files, opened for reading."""

    def __init__(self, folder: Path, facts: Segment, dim: int | None) -> None:
        self.facts = facts
        self.path = folder / "segments" / facts.name
        try:
            self._groups = RowGroups(self.path / DOCUMENTS, CONTENT)
            self.passages: NDArray[Any] = np.load(self.path / PASSAGES, mmap_mode="r", allow_pickle=False)
            self._keys: NDArray[np.int64] | None = None
            if facts.first_key is None:
                self._keys = np.load(self.path / KEYS, mmap_mode="r", allow_pickle=False)
            self.dense = None if dim is None else DensePart.open(self.path, facts.rows, dim, facts.dense)
        except (ValueError, OSError) as error:
            raise Damaged(f"The segment {str(self.path)!r} cannot be read ({error}). Run: retr check") from None
        keys = facts.rows if self._keys is None else len(self._keys)
        if (
            self._groups.rows != facts.documents
            or not facts.rows == len(self.passages) == keys
            or self.passages.dtype != PASSAGE
        ):
            raise Damaged(f"The segment {str(self.path)!r} does not hold the rows its manifest names. Run: retr check")

    def placed(self, facts: Segment) -> "OpenSegment":
        """The same open files at another place among the segments of a later generation."""
        again = copy(self)
        again.facts = facts
        return again

    @cached_property
    def late(self) -> "LatePart | None":
        """The passages' token vectors, mapped when they are first asked for; None without a late encoder."""
        from retr.index.late.kernels.native import chosen_kernels
        from retr.index.late.segment import open_segment

        if not self.facts.late:
            return None
        part = open_segment(self.path / LATE, self.facts.late, chosen_kernels())
        if len(part) != self.facts.rows:
            held = f"{len(part)} passages, not {self.facts.rows}"
            raise Damaged(f"{str(self.path / LATE)!r} holds tokens of {held}. Run: retr check")
        return part

    @cached_property
    def filter(self) -> DocumentFilter:
        """The documents as filters see them."""
        return DocumentFilter(self.path / DOCUMENTS, self.facts.documents)

    @cached_property
    def document_of(self) -> NDArray[np.int64]:
        """The document of every row, counted in this segment."""
        column = np.ascontiguousarray(self.passages["document"])
        return column - (column[0] if len(column) else 0)  # Format 1 counted in the collection.

    @property
    def keys(self) -> NDArray[np.int64]:
        """The key of every row, rising."""
        if self._keys is not None:
            return self._keys
        first = self.facts.first_key or 0
        return np.arange(first, first + self.facts.rows, dtype=np.int64)

    def rows_of(self, number: int) -> tuple[int, int]:
        """The first row of a document and one past its last, both counted in this segment."""
        start, end = np.searchsorted(self.document_of, [number, number + 1])
        return int(start), int(end)

    @cached_property
    def ids(self) -> Any:
        """The ids of all documents, as a pyarrow array."""
        return self._groups.column("id")

    def documents(self, numbers: Sequence[int]) -> dict[int, Document]:
        """Some documents by their number in the segment; only the row groups that hold them are read."""
        found: dict[int, Document] = {}
        for number, row in self._groups.rows_at(numbers):
            row["metadata"], row["source"] = json.loads(row["metadata"]), json.loads(row["source"])
            found[number] = Document(**row)
        return found

    def tables(self) -> Iterator[Any]:
        """All documents, a row group at a time, as pyarrow tables."""
        return self._groups.tables()

    @cached_property
    def _hashes(self) -> tuple[Any, Any]:
        return self._groups.column("text_hash"), self._groups.column("record_hash")

    def hashes_of(self, number: int) -> tuple[bytes, bytes]:
        """(text hash, record hash) of a document by its number in the segment."""
        text, record = self._hashes
        return text[number].as_py(), record[number].as_py()
