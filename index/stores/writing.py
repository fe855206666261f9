"""Adding to a store: the batches of an `add`, each written in one transaction."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from retr.index.writing.batch import Batch
from retr.retrieval.store import StoredDocument, VectorStore


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
