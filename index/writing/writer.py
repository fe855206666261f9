"""Adding and deleting: documents gather, are encoded in batches, and become durable commit by commit."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.segments import Entry, to_json
from retr.index.loading import Encoders
from retr.index.opened import Opened
from retr.index.settings import WriteSettings
from retr.index.writing.batch import Batch, check_document, hashes, where_from
from retr.index.writing.known import Known
from retr.index.writing.stored import Stored
from retr.retrieval.errors import BadInput
from retr.retrieval.pictures import has_picture
from retr.retrieval.records import Document


@dataclass(slots=True)
class AddReport:
    """What an `add` did. `encoded` counts the passages that went through the encoder; `problems` names some skipped."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    duplicates: int = 0
    refused: int = 0
    passages: int = 0
    encoded: int = 0
    generation: int = 0
    problems: list[str] = field(default_factory=list)


class Committing(Protocol):
    """What makes a batch durable. `index.writing.commits.Commits` is such, for a folder."""

    @property
    def waiting(self) -> bool:
        """Whether a merge is under way."""
        ...

    @property
    def problems(self) -> list[str]:
        """What went wrong and undid nothing."""
        ...

    def commit(self, batch: Batch, removed: Iterable[int]) -> int:
        """The batch added, documents removed by their number in the generation that writing began with; gives the
        new one's number."""
        ...

    def take(self) -> None:
        """Wait for the merge under way; the next commit names its result."""
        ...

    def renew_postings(self) -> int:
        """Make the postings anew where that is due; gives the number of the generation that is live then."""
        ...

    def drop(self) -> None:
        """Wait for a merge under way and forget it."""
        ...


class Writer:
    """Used under the writer lock, for one `add` or `delete`. `encoders` are loaded when first needed."""

    def __init__(self, snapshot: Opened, encoders: Encoders, commits: Committing, *, settings: WriteSettings) -> None:
        self._base, self._commits = snapshot, commits
        self._encoders, self._settings = encoders, settings
        self._chunk_key = _chunk_key(snapshot)
        self._known = Known(snapshot)
        self._seen: set[str] = set()
        self._start_batch()
        self.report = AddReport(generation=snapshot.manifest.generation)

    def _start_batch(self) -> None:
        self._batch = Batch(self._base.manifest)
        self._removed: set[int] = set()
        self._started = time.monotonic()

    def add(self, document: Document, vectors: NDArray[np.float32] | None = None) -> None:
        """Take one document in. Encodes and commits when enough have gathered.

        With `vectors` [1, dim] the document is one passage and is not encoded.
        """
        check_document(document, needs_text=vectors is None and not self._shown(document))
        if document.id in self._seen:
            self._refuse(document)
            return
        self._seen.add(document.id)
        text_hash, record_hash = hashes(document, self._chunk_key if vectors is None else _vector_key(vectors))
        number = self._known.number(document.id)
        known = None if number is None else self._known.hashes(number)
        if known is not None and known[1] == record_hash:
            self.report.unchanged += 1
            return
        whole = vectors is not None or has_picture(document)
        spans = [(0, len(document.text))] if whole else self._spans(document)
        held = None if vectors is None else Stored(vectors)
        if number is None:
            self.report.added += 1
        else:
            self.report.updated += 1
            self._removed.add(number)
            if vectors is None and known is not None and known[0] == text_hash:
                held = self._held(number)
        self._batch.put(Entry(document, spans, text_hash, record_hash), held)
        self.report.passages += len(spans)
        self._advance()

    def _shown(self, document: Document) -> bool:
        """Whether a document has a picture that every encoder here reads, so that it needs no text."""
        encoders = self._base.manifest.encoders
        return has_picture(document) and bool(encoders) and all(facts.reads_images for facts in encoders)

    def _held(self, number: int) -> Stored | None:
        """The vectors of a document that is there already."""
        base, rows = self._base, self._base.rows_of(number)
        if not base.manifest.encoders:
            return None
        vectors = None if base.dense is None else base.dense.vectors(rows)
        return Stored(vectors, None if base.late is None else base.late.vectors(rows))

    def _spans(self, document: Document) -> list[tuple[int, int]]:
        chunker = self._encoders.chunker(self._base.manifest)
        return [(passage.start, passage.end) for passage in chunker.split(document)]

    def _refuse(self, document: Document) -> None:
        what = f"The document id {document.id!r} comes twice{where_from(document)}."
        if self._settings.on_duplicate == "fail":
            raise BadInput(f"{what} Give each document its own id, or skip the later ones with --on-error skip.")
        self.report.duplicates += 1
        self.note(what)

    def note(self, problem: str) -> None:
        """Name a problem in the report, if it is one of the first."""
        self.report.problems = [*self.report.problems, problem][:20]

    def _advance(self) -> None:
        if self._batch.unencoded >= self._settings.encode_passages:
            self._encode()
        full = (
            self._batch.passages >= self._settings.commit_passages
            or self._batch.characters >= self._settings.commit_characters
            or self._batch.token_bytes >= self._settings.commit_token_bytes
        )
        if full or time.monotonic() - self._started >= self._settings.commit_seconds:
            self.commit()

    def _encode(self) -> None:
        if self._batch.unencoded:
            self.report.encoded += self._batch.encode(self._encoders)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; unknown ids are passed over. Says how many were removed."""
        numbers = set(self._base.numbers_of(ids).values())
        self._removed |= numbers
        return len(numbers)

    def finish(self) -> AddReport:
        """The last commit of an `add`, and of the merges it has set off."""
        if self._settings.mirror:
            self.report.removed = self.delete(self._known.others(self._seen))
        self.commit()
        while self._commits.waiting:
            self._commits.take()
            self.commit(force=True)
        self.report.generation = self._commits.renew_postings()
        self.report.problems += self._commits.problems
        return self.report

    def close(self) -> None:
        """Wait for a merge under way, whose result is dropped."""
        self._commits.drop()

    def commit(self, *, force: bool = False) -> None:
        """Make everything taken in so far durable and visible."""
        self._encode()
        if not (len(self._batch) or self._removed or force):
            return
        self.report.generation = self._commits.commit(self._batch, self._removed)
        self._start_batch()


def _chunk_key(snapshot: Opened) -> str:
    settings = snapshot.manifest.settings
    return to_json({name: settings[name] for name in ("chunk", "language")})


def _vector_key(vectors: NDArray[np.float32]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(vectors).tobytes(), digest_size=16).hexdigest()
