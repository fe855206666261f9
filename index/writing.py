"""Adding and deleting: documents gather, are encoded in batches, and become durable commit by commit."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from retr.index.batch import Batch, check_document, hashes, where_from
from retr.index.fsio import Disk
from retr.index.generations import collect_garbage, commit_generation
from retr.index.segments import Entry, to_json
from retr.index.settings import WriteSettings
from retr.index.snapshot import Snapshot
from retr.retrieval.chunking import Chunker
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder
from retr.retrieval.records import Document


@dataclass(slots=True)
class AddReport:
    """What an `add` did. `encoded` counts the passages that went through the encoder; `problems` names some skipped."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    duplicates: int = 0
    passages: int = 0
    encoded: int = 0
    generation: int = 0
    problems: list[str] = field(default_factory=list)


class Writer:
    """Used under the writer lock, for one `add` or `delete`. `encoder` and `chunker` are made when first needed."""

    def __init__(
        self,
        snapshot: Snapshot,
        encoder: Callable[[], Encoder],
        chunker: Callable[[], Chunker],
        *,
        settings: WriteSettings,
        disk: Disk,
    ) -> None:
        self._base, self._manifest = snapshot, snapshot.manifest
        self._encoder, self._chunker = encoder, chunker
        self._settings, self._disk = settings, disk
        self._chunk_key = to_json(dict(snapshot.manifest.settings))
        self._recorded = {id: (number, text, record) for number, id, text, record in snapshot.recorded()}
        self._seen: set[str] = set()
        self._dead = ~snapshot.live
        self._start_batch()
        self.report = AddReport(generation=self._manifest.generation)

    def _start_batch(self) -> None:
        self._batch = Batch(self._manifest.encoder.dim if self._manifest.encoder else None)
        self._removed: dict[int, int] = {}
        self._started = time.monotonic()

    def add(self, document: Document) -> None:
        """Take one document in. Encodes and commits when enough have gathered."""
        check_document(document)
        if document.id in self._seen:
            self._refuse(document)
            return
        self._seen.add(document.id)
        text_hash, record_hash = hashes(document, self._chunk_key)
        known = self._recorded.get(document.id)
        if known is not None and known[2] == record_hash:
            self.report.unchanged += 1
            return
        spans = [(passage.start, passage.end) for passage in self._chunker().split(document)]
        vectors = None
        if known is None:
            self.report.added += 1
        else:
            self.report.updated += 1
            self._remove(known[0])
            if known[1] == text_hash and self._base.dense is not None:
                vectors = self._base.dense.vectors(self._base.rows_of(known[0]))
        self._batch.put(Entry(document, spans, text_hash, record_hash), vectors)
        self.report.passages += len(spans)
        self._advance()

    def _refuse(self, document: Document) -> None:
        what = f"The document id {document.id!r} comes twice{where_from(document)}."
        if self._settings.on_duplicate == "fail":
            raise BadInput(f"{what} Give each document its own id, or skip the later ones with --on-error skip.")
        self.report.duplicates += 1
        self.report.problems = [*self.report.problems, what][:20]

    def _advance(self) -> None:
        if self._batch.unencoded >= self._settings.encode_passages:
            self._encode()
        full = (
            self._batch.passages >= self._settings.commit_passages
            or self._batch.characters >= self._settings.commit_characters
        )
        if full or time.monotonic() - self._started >= self._settings.commit_seconds:
            self.commit()

    def _encode(self) -> None:
        if self._batch.unencoded:
            self.report.encoded += self._batch.encode(self._encoder())

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; unknown ids are passed over. Says how many were removed."""
        numbers = {self._recorded[id][0] for id in ids if id in self._recorded}
        for number in sorted(numbers):
            self._remove(number)
        return len(numbers)

    def finish(self) -> AddReport:
        """The last commit of an `add`."""
        if self._settings.mirror:
            self.report.removed = self.delete(self._recorded.keys() - self._seen)
        self.commit()
        return self.report

    def _remove(self, number: int) -> None:
        self._removed[number] = len(self._base.rows_of(number))

    def commit(self) -> None:
        """Make everything taken in so far durable and visible."""
        self._encode()
        if not len(self._batch) and not self._removed:
            return
        dead = np.zeros(self._manifest.next_document + len(self._batch), np.bool_)
        dead[: len(self._dead)] = self._dead
        dead[list(self._removed)] = True
        folder = self._base.folder
        self._manifest = commit_generation(
            self._disk, folder, self._manifest, self._batch, dead=dead, removed=self._removed
        )
        self._dead = dead
        self.report.generation = self._manifest.generation
        collect_garbage(self._disk, folder)
        self._start_batch()
