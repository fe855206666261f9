"""Adding to a store: the batches of an `add`, each written in one transaction."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.manifest import Manifest
from retr.index.loading import Encoders
from retr.index.settings import WriteSettings
from retr.index.stores.coding import codec_of, coded, with_lists
from retr.index.stores.opened import StoreOpened
from retr.index.stores.recoding import codec_for, settle
from retr.index.writing.batch import Batch
from retr.index.writing.stored import Stored, joined, part_of
from retr.index.writing.writer import Writer
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document
from retr.retrieval.store import CodedTokens, StoredDocument, VectorStore, row_of

_NOTHING = (b"", b"")
"""The hashes of no document."""


class Live(StoreOpened):
    """A store as it is at each call, where a document that was there a moment ago may be gone."""

    def hashes_of(self, number: int) -> tuple[bytes, bytes]:
        """(text hash, record hash) of a document; those of none where another writer has taken it away."""
        return self._snapshot.hashes([number]).get(number, _NOTHING)


class StoreWriter(Writer):
    """Used for one `add` or `delete`, beside any number of others."""

    def __init__(self, store: VectorStore, encoders: Encoders, *, settings: WriteSettings) -> None:
        base = Live(store)
        self._store, self._own = store, StoreCommits(store, base.manifest)
        super().__init__(base, encoders, self._own, settings=settings)

    def add(self, document: Document, vectors: NDArray[np.float32] | None = None) -> None:
        """Take one document in, if the store can hold it."""
        try:
            self._store.check_document(document)
        except BadInput as error:
            if self._settings.on_refused == "fail":
                raise
            self.report.refused += 1
            self.note(str(error))
            return
        super().add(document, vectors)

    def _held(self, number: int) -> Stored | None:
        """The vectors of a document that is there already, unless another writer has taken it away.

        Its tokens are written again as they are kept, not coded once more.
        """
        with self._store.snapshot() as snapshot:
            found, opened = snapshot.get([number]).get(number), StoreOpened(snapshot)
            if found is None or not opened.manifest.encoders:
                return None
            first = row_of(number, 0)
            rows = np.arange(first, first + len(found.spans), dtype=np.int64)
            if opened.late is not None:
                each = snapshot.tokens(rows)
                self._own.kept[found.document.id] = [with_lists(codec_of(snapshot, one.codec), one) for one in each]
            vectors = None if opened.dense is None else opened.dense.vectors(rows)
            return Stored(vectors, None if opened.late is None else opened.late.vectors(rows))


class StoreCommits:
    """What makes batches durable in a store. There is nothing to merge there.

    `kept` are the tokens of documents of the next batch, by id, that are coded already.
    """

    waiting = False

    def __init__(self, store: VectorStore, manifest: Manifest) -> None:
        self._store, self._manifest, self._generation = store, manifest, manifest.generation
        self.problems: list[str] = []
        self.kept: dict[str, Sequence[CodedTokens]] = {}

    def commit(self, batch: Batch, removed: Iterable[int]) -> int:
        """The batch added, documents removed by number; gives the new generation's number."""
        tokens = None if self._manifest.late is None else self._coded(batch)
        self._generation = self._store.upsert(documents_of(batch, tokens), removed)
        if tokens:
            self._generation = max(self._generation, settle(self._store, self._manifest.late_settings))
        return self._generation

    def _coded(self, batch: Batch) -> dict[str, Sequence[CodedTokens]]:
        """The tokens of a batch's passages, by the document's id."""
        found, self.kept, blocks = self.kept, {}, batch.tokens()
        new = [entry for entry in batch.entries if entry.document.id not in found]
        if not new:
            return found
        every, at, pieces = joined(blocks), 0, []
        for entry in batch.entries:
            if entry.document.id not in found:
                pieces.append(part_of(every, at, at + len(entry.spans)))
            at += len(entry.spans)
        codec = codec_for(self._store, pieces, self._manifest.late_settings)
        each = iter(coded(codec, joined(pieces)))
        return found | {entry.document.id: [next(each) for _ in entry.spans] for entry in new}

    def take(self) -> None:
        """Nothing is under way."""

    def renew_postings(self) -> int:
        """They need no renewal; the generation that is live."""
        return self._generation

    def drop(self) -> None:
        """Nothing is under way."""


def documents_of(batch: Batch, tokens: Mapping[str, Sequence[CodedTokens]] | None) -> list[StoredDocument]:
    """A batch's documents, with their vectors; `tokens` are those of their passages by id."""
    vectors: NDArray[np.float32] | None = batch.vectors()
    found, at = [], 0
    for entry in batch.entries:
        own = None if vectors is None else vectors[at : at + len(entry.spans)]
        coded_so = None if tokens is None else tokens[entry.document.id]
        found.append(StoredDocument(entry.document, entry.spans, entry.text_hash, entry.record_hash, own, coded_so))
        at += len(entry.spans)
    return found
