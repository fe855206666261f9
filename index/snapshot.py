"""One generation of an index folder, opened for reading: it never changes, whatever a writer does meanwhile."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.gpu import Device
from retr.index.dense.index import DenseIndex
from retr.index.disk.keys import Keys
from retr.index.disk.leases import Lease, held, live_manifest
from retr.index.disk.manifest import Manifest
from retr.index.disk.segments import OpenSegment
from retr.index.disk.verify import verify
from retr.index.filters.filtering import where_all
from retr.index.lexical.postings import LexicalIndex
from retr.index.opened import Place
from retr.retrieval.errors import Damaged
from retr.retrieval.filters import Filter, parse
from retr.retrieval.records import Document

if TYPE_CHECKING:
    from retr.index.late.mixed import MixedIndex
    from retr.index.ranking import Ranker
    from retr.index.settings import SearchSettings

_TRIES = 20
_KEPT_FILTERS = 32


def open_snapshot(folder: Path, before: "Snapshot | None" = None, device: Device | None = None) -> "Snapshot":
    """The live generation. A writer may commit meanwhile and clear old files away: then the new one is opened.

    Segments that `before` has open are not opened again, and keep what was read of them.
    """
    for attempt in range(_TRIES):
        manifest, lease = held(folder)
        try:
            verify(folder, manifest)
            return Snapshot(folder, manifest, lease, before=before, device=device)
        except (Damaged, FileNotFoundError):
            if attempt == _TRIES - 1 or live_manifest(folder).generation == manifest.generation:
                raise
    raise AssertionError("unreachable")


class Snapshot:
    """Documents by number, passages by row, and the indexes over the rows. The generation is held while it lives."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        lease: Lease | None = None,
        *,
        before: "Snapshot | None" = None,
        device: Device | None = None,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.dim = manifest.dim
        self._lease, self._device = lease, device
        self.segments = _opened(folder, manifest, before)
        self._first_documents = [segment.facts.first_document for segment in self.segments]
        self._first_rows = [segment.facts.first_row for segment in self.segments]
        self.live = read_live(folder, manifest)
        self.keys = Keys(self.segments)
        self._filtered: dict[str, NDArray[np.bool_]] = {}
        self.lexical = (
            LexicalIndex(folder / manifest.lexical_folder, str(manifest.settings["language"]), self.keys)
            if manifest.lexical_folder
            else None
        )

    @cached_property
    def document_of(self) -> NDArray[np.int64]:
        """The document's number of every row."""
        parts = [segment.document_of + segment.facts.first_document for segment in self.segments]
        return np.concatenate([np.empty(0, np.int64), *parts])

    @property
    def one_each(self) -> bool:
        """Whether every document has one passage: its number is then its row."""
        return self.manifest.next_row == self.manifest.next_document

    @cached_property
    def live_rows(self) -> NDArray[np.bool_] | None:
        """The rows of living documents; None when all live."""
        if self.live.all():
            return None
        return self.live if self.one_each else self.live[self.document_of]

    @cached_property
    def dense(self) -> DenseIndex | None:
        """The vectors of all rows; None in a collection without an encoder."""
        if self.dim is None:
            return None
        parts = [segment.dense for segment in self.segments if segment.dense is not None]
        return DenseIndex(self.dim, parts, self._device)

    @cached_property
    def late(self) -> "MixedIndex | None":
        """The token vectors of all rows; None in a collection without a late encoder."""
        from retr.index.late.mixed import MixedIndex

        if self.manifest.late is None:
            return None
        parts = [segment.late for segment in self.segments if segment.late is not None]
        return MixedIndex(parts, device=self._device)

    def ranker(self, settings: "SearchSettings") -> "Ranker":
        """What searches it, with its filter evaluated."""
        from retr.index.searching import Searcher

        return Searcher(self, settings)

    def documents_where(self, where: str | Filter | None) -> NDArray[np.bool_]:
        """The living documents, by number, for which the filter holds."""
        if where is None:
            return self.live
        key = where if isinstance(where, str) else repr(where)  # As nodes, a test for 1 and one for true are equal.
        known = self._filtered.get(key)
        if known is None:
            tree = parse(where) if isinstance(where, str) else where
            parts = where_all([segment.filter for segment in self.segments], tree)
            known = np.concatenate([np.empty(0, np.bool_), *parts]) & self.live
            if len(self._filtered) >= _KEPT_FILTERS:
                self._filtered.clear()
            self._filtered[key] = known
        return known

    def documents(self, numbers: Iterable[int]) -> dict[int, Document]:
        """Documents by number."""
        found: dict[int, Document] = {}
        for at, local in self._by_segment(numbers).items():
            first = self._first_documents[at]
            found |= {number + first: document for number, document in self.segments[at].documents(local).items()}
        return found

    def ids_of(self, numbers: Sequence[int]) -> list[str]:
        """The ids of documents, in the order given."""
        places = [self._home(number) for number in numbers]
        return [self.segments[at].ids[local].as_py() for at, local in places]

    def numbers_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of those living documents that have one of these ids."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pa.array([id for id in dict.fromkeys(ids) if _storable(id)], pa.string())
        found: dict[str, int] = {}
        if not len(wanted):
            return found
        for segment in self.segments:
            places = np.flatnonzero(pc.is_in(segment.ids, value_set=wanted).to_numpy(zero_copy_only=False))
            numbers = places + segment.facts.first_document
            here = places[self.live[numbers]]
            found |= {segment.ids[place].as_py(): place + segment.facts.first_document for place in here.tolist()}
        return found

    def all_ids(self) -> Iterator[tuple[int, str]]:
        """(number, id) of every living document, in order."""
        for segment in self.segments:
            for number, id in enumerate(segment.ids.to_pylist(), start=segment.facts.first_document):
                if self.live[number]:
                    yield number, id

    def _by_segment(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for number in set(numbers):
            at, local = self._home(number)
            found.setdefault(at, []).append(local)
        return found

    def _home(self, number: int) -> tuple[int, int]:
        """The place of a document's segment among the segments, and its number in there."""
        at = bisect_right(self._first_documents, number) - 1
        return at, number - self._first_documents[at]

    def places(self, rows: Sequence[int]) -> list[Place]:
        """Where the rows' texts stand, in the order given."""
        spans = [self._span(row) for row in rows]
        documents = self.documents(number for number, _ in spans)
        return [
            Place(documents[number], int(span["ordinal"]), int(span["start"]), int(span["end"]))
            for number, span in spans
        ]

    def _span(self, row: int) -> tuple[int, np.void]:
        segment = self.segments[bisect_right(self._first_rows, row) - 1]
        local = row - segment.facts.first_row
        return int(segment.document_of[local]) + segment.facts.first_document, segment.passages[local]

    def rows_of(self, number: int) -> NDArray[np.int64]:
        """The rows of a document's passages."""
        at, local = self._home(number)
        start, end = self.segments[at].rows_of(local)
        return np.arange(start, end, dtype=np.int64) + self._first_rows[at]

    def hashes_of(self, number: int) -> tuple[bytes, bytes]:
        """(text hash, record hash) of a document."""
        at, local = self._home(number)
        return self.segments[at].hashes_of(local)


def _opened(folder: Path, manifest: Manifest, before: Snapshot | None) -> list[OpenSegment]:
    known = {} if before is None else {segment.facts.name: segment for segment in before.segments}
    found = []
    for facts in manifest.segments:
        open_one = known.get(facts.name)
        same = open_one is not None and open_one.facts.files == facts.files
        found.append(open_one.placed(facts) if same and open_one else OpenSegment(folder, facts, manifest.dim))
    return found


def read_live(folder: Path, manifest: Manifest) -> NDArray[np.bool_]:
    """Whether each document of a generation lives, by number."""
    live = np.ones(manifest.next_document, np.bool_)
    for name, facts in manifest.deletes.items():
        data = (folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != facts.sha256:
            raise Damaged(f"{str(folder / name)!r} is damaged: its SHA-256 is not the one that was written.")
        dead = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(np.bool_)
        live[: len(dead)] &= ~dead[: len(live)]
    return live


def _storable(id: str) -> bool:
    """Whether pyarrow can hold the id; no document has one that it cannot."""
    return isinstance(id, str) and (id.isascii() or not any("\ud800" <= character <= "\udfff" for character in id))
