"""One generation of an index folder, opened for reading: it never changes, whatever a writer does meanwhile."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense import FlatIndex
from retr.index.lexical import LexicalIndex
from retr.index.manifest import Manifest, read_current
from retr.index.segments import OpenSegment
from retr.index.verify import verify
from retr.retrieval.errors import Damaged, NotFound
from retr.retrieval.filters import parse, to_sql
from retr.retrieval.records import Document

_TRIES = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row's text stands: its document, the passage's ordinal, and its span in the document's text."""

    document: Document
    ordinal: int
    start: int
    end: int


def open_snapshot(folder: Path) -> "Snapshot":
    """The live generation. A writer may commit meanwhile and clear old files away: then the new one is opened."""
    for attempt in range(_TRIES):
        manifest = read_current(folder)
        try:
            verify(folder, manifest)
            return Snapshot(folder, manifest)
        except (Damaged, FileNotFoundError):
            if attempt == _TRIES - 1 or read_current(folder).generation == manifest.generation:
                raise
    raise AssertionError("unreachable")


class Snapshot:
    """Documents by number, passages by row, and the indexes over the rows."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        dim = manifest.encoder.dim if manifest.encoder else None
        self._segments = [OpenSegment(folder, segment, dim) for segment in manifest.segments]
        self.live = self._read_live()
        self.lexical = (
            LexicalIndex(folder / manifest.lexical_folder, str(manifest.settings["language"]))
            if manifest.lexical_folder
            else None
        )

    def _read_live(self) -> NDArray[np.bool_]:
        live = np.ones(self.manifest.next_document, np.bool_)
        for name in self.manifest.deletes:
            bits = np.frombuffer((self.folder / name).read_bytes(), np.uint8)
            dead = np.unpackbits(bits, bitorder="little").astype(np.bool_)
            live[: len(dead)] &= ~dead[: len(live)]
        return live

    @cached_property
    def document_of(self) -> NDArray[np.int64]:
        """The document's number of every row."""
        parts = [segment.passages["document"] for segment in self._segments]
        return np.concatenate([np.empty(0, np.int64), *parts])

    @cached_property
    def live_rows(self) -> NDArray[np.bool_] | None:
        """The rows of living documents; None when all live."""
        return None if self.live.all() else self.live[self.document_of]

    @cached_property
    def dense(self) -> FlatIndex | None:
        """The vectors of all rows; None in a collection without an encoder."""
        if self.manifest.encoder is None:
            return None
        blocks = [segment.vectors for segment in self._segments if segment.vectors is not None]
        return FlatIndex(self.manifest.encoder.dim, blocks)

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The number of every living document, by its id."""
        return {id: number for number, id, _, _ in self.recorded()}

    def documents_where(self, where: str | None) -> NDArray[np.bool_]:
        """The living documents, by number, for which the filter expression holds."""
        if where is None:
            return self.live
        import duckdb

        condition, parameters = to_sql(parse(where))
        found = np.zeros(len(self.live), np.bool_)
        with duckdb.connect(":memory:") as connection:
            for segment in self._segments:
                query = f"SELECT file_row_number FROM read_parquet(?, file_row_number=true) WHERE {condition}"
                rows = connection.execute(query, [segment.documents_path, *parameters]).fetchnumpy()
                numbers = np.asarray(rows["file_row_number"], np.int64)
                found[numbers + segment.facts.first_document] = True
        return found & self.live

    def documents(self, numbers: Iterable[int]) -> dict[int, Document]:
        """Documents by number."""
        wanted = set(numbers)
        found: dict[int, Document] = {}
        for segment in self._segments:
            first = segment.facts.first_document
            here = [number for number in wanted if first <= number < first + segment.facts.documents]
            if here:
                found |= segment.documents(here)
        return found

    def places(self, rows: Sequence[int]) -> list[Place]:
        """Where the rows' texts stand, in the order given."""
        spans = [self._span(row) for row in rows]
        documents = self.documents(int(span["document"]) for span in spans)
        return [
            Place(documents[int(span["document"])], int(span["ordinal"]), int(span["start"]), int(span["end"]))
            for span in spans
        ]

    def _span(self, row: int) -> Any:
        for segment in self._segments:
            if row < segment.facts.first_row + segment.facts.rows:
                return segment.passages[row - segment.facts.first_row]
        raise NotFound(f"The collection has no row {row}; it has {self.manifest.next_row}.")

    def rows_of(self, number: int) -> NDArray[np.int64]:
        """The rows of a document's passages."""
        for segment in self._segments:
            if number < segment.facts.first_document + segment.facts.documents:
                column = segment.passages["document"]
                start, end = np.searchsorted(column, [number, number + 1])
                return np.arange(start, end, dtype=np.int64) + segment.facts.first_row
        raise NotFound(f"The collection has no document number {number}.")

    def recorded(self) -> Iterator[tuple[int, str, bytes, bytes]]:
        """(number, id, text hash, record hash) of every living document, in order."""
        for segment in self._segments:
            for key in segment.recorded():
                if self.live[key[0]]:
                    yield key
