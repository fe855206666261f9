"""Adding to a store: the batches of an `add`, each written in one transaction."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from retr.index.loading import Encoders
from retr.index.settings import WriteSettings
from retr.index.stores.opened import StoreOpened
from retr.index.writing.batch import Batch
from retr.index.writing.stored import Stored
from retr.index.writing.writer import Writer
from retr.retrieval.records import Document
from retr.retrieval.store import StoredDocument, VectorStore, row_of

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
        super().__init__(base, encoders, StoreCommits(store, base.manifest.generation), settings=settings)
        self._store = store

    def add(self, document: Document, vectors: NDArray[np.float32] | None = None) -> None:
        """Take one document in, if the store can hold it."""
        self._store.check_document(document)
        super().add(document, vectors)

    def _held(self, number: int) -> Stored | None:
        """The vectors of a document that is there already, unless another writer has taken it away."""
        with self._store.snapshot() as snapshot:
            found = snapshot.get([number]).get(number)
            if found is None or snapshot.facts.encoder is None:
                return None
            first = row_of(number, 0)
            return Stored(snapshot.vectors(np.arange(first, first + len(found.spans), dtype=np.int64)))


class StoreCommits:
    """What makes batches durable in a store. There is nothing to merge there."""

    waiting = False

    def __init__(self, store: VectorStore, generation: int) -> None:
        self._store, self._generation = store, generation
        self.problems: list[str] = []

    def commit(self, batch: Batch, removed: Iterable[int]) -> int:
        """The batch added, documents removed by number; gives the new generation's number."""
        self._generation = self._store.upsert(documents_of(batch), removed)
        return self._generation

    def take(self) -> None:
        """Nothing is under way."""

    def renew_postings(self) -> int:
        """They need no renewal; the generation that is live."""
        return self._generation

    def drop(self) -> None:
        """Nothing is under way."""


def documents_of(batch: Batch) -> list[StoredDocument]:
    """A batch's documents, with their vectors."""
    vectors: NDArray[np.float32] | None = batch.vectors()
    found, at = [], 0
    for entry in batch.entries:
        own = None if vectors is None else vectors[at : at + len(entry.spans)]
        found.append(StoredDocument(entry.document, entry.spans, entry.text_hash, entry.record_hash, own))
        at += len(entry.spans)
    return found
