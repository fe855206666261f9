"""A collection moved between folders and databases, with its vectors as they are kept, and compared afterwards."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from retr.index.stores import connect, is_store
from retr.index.stores.folder import FolderStore
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged
from retr.retrieval.store import StoredDocument, StoreFacts, StoreSnapshot, VectorStore, row_of

_AT_ONCE = 1_000
_TOLERANCE = 1e-6
Told = Callable[[int], None]


def kept_in(where: str | Path) -> VectorStore:
    """The store at an address, or the folder at a path."""
    return connect(where) if isinstance(where, str) and is_store(where) else FolderStore(Path(where))


def copy(source: VectorStore, target: VectorStore, told: Told | None = None) -> StoreFacts:
    """Copy one generation into a new collection, nothing encoded again; gives what the target holds then.

    Every document, passage and vector is read back and compared. Damaged where the target has not what was read.
    `told` hears how many documents were written at each step.
    """
    with source.snapshot() as held:
        facts = held.facts
        target.create(StoreFacts(1, created=facts.created, encoder=facts.encoder, settings=facts.settings))
        target.bulk_load(_counted(rows(held), told))
        with target.snapshot() as made:
            compare(held, made, source.address, target.address)
            return made.facts


def rows(snapshot: StoreSnapshot) -> Iterator[StoredDocument]:
    """All documents with their vectors, by number."""
    numbers = iter([number for number, _ in snapshot.ids()])
    while part := list(islice(numbers, _AT_ONCE)):
        found = snapshot.get(part)
        vectors = _vectors(snapshot, part, found)
        at = 0
        for number in part:
            one = found[number]
            own = None if vectors is None else vectors[at : at + len(one.spans)]
            at += len(one.spans)
            yield StoredDocument(one.document, one.spans, one.text_hash, one.record_hash, own)


def compare(source: StoreSnapshot, target: StoreSnapshot, from_: str, into: str) -> None:
    """Damaged where two collections do not hold the same documents in the same order, vectors within rounding."""
    if source.facts.documents != target.facts.documents or source.facts.passages != target.facts.passages:
        raise Damaged(f"{into} holds {target.facts.documents} documents, {from_} {source.facts.documents}. Copy again.")
    for old, new in zip(rows(source), rows(target), strict=True):
        same = (old.document, list(old.spans)) == (new.document, list(new.spans)) and old.record_hash == new.record_hash
        if not same or not _same_vectors(old.vectors, new.vectors):
            raise Damaged(f"The document {old.document.id!r} is not the same in {into} as in {from_}. Copy again.")


def _vectors(snapshot: StoreSnapshot, numbers: list[int], found: dict[int, StoredDocument]) -> Floats | None:
    if snapshot.facts.encoder is None:
        return None
    places = [row_of(number, at) for number in numbers for at in range(len(found[number].spans))]
    return snapshot.vectors(np.array(places, np.int64))


def _same_vectors(old: Floats | None, new: Floats | None) -> bool:
    if old is None or new is None:
        return old is new
    return old.shape == new.shape and bool(np.abs(old - new).max(initial=0.0) <= _TOLERANCE)


def _counted(documents: Iterator[StoredDocument], told: Told | None) -> Iterator[StoredDocument]:
    for one in documents:
        yield one
        if told is not None:
            told(1)
