"""One generation of a store as searching and writing ask for it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.manifest import EncoderFacts, Manifest
from retr.index.opened import Place
from retr.index.settings import SearchSettings
from retr.index.stores.ranking import StoreRanker
from retr.index.stores.tokens import StoreTokens
from retr.retrieval.embeddings import Floats
from retr.retrieval.records import Document
from retr.retrieval.store import StoreFacts, StoreSnapshot, place_of, row_of


class _Vectors:
    """The vectors of a store."""

    def __init__(self, snapshot: StoreSnapshot) -> None:
        self._snapshot = snapshot

    def vectors(self, rows: NDArray[np.int64]) -> Floats:
        """The vectors of rows, float32 [rows, dim]."""
        return self._snapshot.vectors(rows)


class StoreOpened:
    """Reads of a snapshot, or of a store as it is at each call."""

    def __init__(self, snapshot: StoreSnapshot) -> None:
        self._snapshot = snapshot
        self.manifest = manifest_of(snapshot.facts)
        self.dense = None if self.manifest.encoder is None else _Vectors(snapshot)
        self.late = None if self.manifest.late is None else StoreTokens(snapshot)

    def ranker(self, settings: SearchSettings) -> StoreRanker:
        """What searches it."""
        return StoreRanker(self._snapshot, self.manifest, settings)

    def places(self, rows: Sequence[int]) -> list[Place]:
        """Where the rows' texts stand, in the order given."""
        wanted = [place_of(row) for row in rows]
        found = self._snapshot.get({number for number, _ in wanted})
        return [Place(found[number].document, at, *found[number].spans[at]) for number, at in wanted]

    def documents(self, numbers: Iterable[int]) -> dict[int, Document]:
        """Documents by number."""
        return {number: found.document for number, found in self._snapshot.get(numbers).items()}

    def ids_of(self, numbers: Sequence[int]) -> list[str]:
        """The ids of documents, in the order given."""
        found = self._snapshot.ids_of(numbers)
        return [found[number] for number in numbers]

    def numbers_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of those documents that have one of these ids."""
        return self._snapshot.numbers_of(ids)

    def all_ids(self) -> Iterator[tuple[int, str]]:
        """(number, id) of every document, in order."""
        return self._snapshot.ids()

    def rows_of(self, number: int) -> NDArray[np.int64]:
        """The rows of a document's passages."""
        first = row_of(number, 0)
        return np.arange(first, first + len(self._snapshot.get([number])[number].spans), dtype=np.int64)

    def hashes_of(self, number: int) -> tuple[bytes, bytes]:
        """(text hash, record hash) of a document."""
        return self._snapshot.hashes([number])[number]


def manifest_of(facts: StoreFacts) -> Manifest:
    """What a store holds, in the words of a manifest."""
    return Manifest(
        generation=facts.generation,
        encoder=None if facts.encoder is None else encoder_of(facts.encoder),
        settings=dict(facts.settings),
        created=facts.created,
        live_documents=facts.documents,
        live_passages=facts.passages,
        late=None if facts.late is None else encoder_of(facts.late),
    )


def encoder_of(facts: Mapping[str, Any]) -> EncoderFacts:
    """The facts of an encoder, from JSON values."""
    return EncoderFacts(**{**facts, "golden": tuple(facts.get("golden", ()))})
