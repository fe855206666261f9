"""A collection moved between folders and databases, with its vectors as they are kept, and compared afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from shutil import rmtree

import numpy as np
from numpy.typing import NDArray

from retr.index.stores import connect, is_store
from retr.index.stores.coding import codec_of, with_lists
from retr.index.stores.folder import FolderStore
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged, RetrError
from retr.retrieval.store import CodedTokens, StoredDocument, StoreFacts, StoreSnapshot, VectorStore, row_of

_AT_ONCE = 1_000
_TOLERANCE = 1e-6
Told = Callable[[int], None]


def kept_in(where: str | Path) -> VectorStore:
    """The store at an address, or the folder at a path."""
    return connect(where) if isinstance(where, str) and is_store(where) else FolderStore(Path(where))


def copy(source: VectorStore, target: VectorStore, told: Told | None = None) -> StoreFacts:
    """Copy one generation into a new collection, nothing encoded again; gives what the target holds then.

    Every document, passage, vector and token is read back and compared. Damaged where the target has not what was read,
    BadInput for a document that it cannot hold; what was made of the target is removed then.
    `told` hears how many documents were written at each step.
    """
    with source.snapshot() as held:
        facts = held.facts
        kept = {name: getattr(facts, name) for name in ("created", "encoder", "late", "settings")}
        target.create(StoreFacts(1, **kept))
        with _whole_or_gone(target):
            for key in held.codecs() if facts.late is not None else ():
                target.keep_codec(key, held.codec(key))
            target.bulk_load(_counted(_storable(rows(held), target), told))
            with target.snapshot() as made:
                compare(held, made, source.address, target.address)
                return made.facts


@contextmanager
def _whole_or_gone(target: VectorStore) -> Iterator[None]:
    """Remove what was just made where an error comes, or the same copy could not be made again."""
    try:
        yield
    except BaseException:
        if isinstance(target, FolderStore):
            rmtree(target.address, ignore_errors=True)
        else:
            with suppress(RetrError):
                target.drop()
        raise


def _storable(documents: Iterator[StoredDocument], target: VectorStore) -> Iterator[StoredDocument]:
    for one in documents:
        target.check_document(one.document)
        yield one


def rows(snapshot: StoreSnapshot) -> Iterator[StoredDocument]:
    """All documents with their vectors and tokens, by number."""
    numbers = iter([number for number, _ in snapshot.ids()])
    while part := list(islice(numbers, _AT_ONCE)):
        yield from _whole(snapshot, part)


def _whole(snapshot: StoreSnapshot, numbers: list[int]) -> Iterator[StoredDocument]:
    """Some documents with their vectors and tokens, in the order given."""
    found = snapshot.get(numbers)
    places = [row_of(number, at) for number in numbers for at in range(len(found[number].spans))]
    chosen, facts, at = np.array(places, np.int64), snapshot.facts, 0
    vectors = None if facts.encoder is None else snapshot.vectors(chosen)
    tokens = None if facts.late is None else _listed(snapshot, chosen)
    for number in numbers:
        here = slice(at, at + len(found[number].spans))
        at = here.stop
        own = None if vectors is None else vectors[here], None if tokens is None else tokens[here]
        yield replace(found[number], vectors=own[0], tokens=own[1])


def compare(source: StoreSnapshot, target: StoreSnapshot, from_: str, into: str) -> None:
    """Damaged where two collections do not hold the same documents, vectors within rounding.

    In the same order too, if both have one.
    """
    if source.facts.documents != target.facts.documents or source.facts.passages != target.facts.passages:
        raise Damaged(f"{into} holds {target.facts.documents} documents, {from_} {source.facts.documents}. Copy again.")
    ordered = source.ordered and target.ordered
    for old, new in zip(rows(source), rows(target) if ordered else _as_in(source, target), strict=True):
        same = (old.document, list(old.spans)) == (new.document, list(new.spans)) and old.record_hash == new.record_hash
        if not same or not _same_vectors(old.vectors, new.vectors) or old.tokens != new.tokens:
            raise Damaged(f"The document {old.document.id!r} is not the same in {into} as in {from_}. Copy again.")


def _as_in(source: StoreSnapshot, target: StoreSnapshot) -> Iterator[StoredDocument]:
    """The target's documents, in the order that those with their ids have in the source."""
    ids = (id for _, id in source.ids())
    while part := list(islice(ids, _AT_ONCE)):
        numbers = target.numbers_of(part)
        yield from _whole(target, [numbers[id] for id in part if id in numbers])


def _listed(snapshot: StoreSnapshot, rows: NDArray[np.int64]) -> list[CodedTokens]:
    return [with_lists(codec_of(snapshot, one.codec), one) for one in snapshot.tokens(rows)]


def _same_vectors(old: Floats | None, new: Floats | None) -> bool:
    if old is None or new is None:
        return old is new
    return old.shape == new.shape and bool(np.abs(old - new).max(initial=0.0) <= _TOLERANCE)


def _counted(documents: Iterator[StoredDocument], told: Told | None) -> Iterator[StoredDocument]:
    for one in documents:
        yield one
        if told is not None:
            told(1)
