"""One generation of a collection, opened for reading, wherever it is kept: what searching and writing ask of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.manifest import Manifest
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.records import Document

if TYPE_CHECKING:
    from retr.index.late.index import Alignment
    from retr.index.ranking import Ranker
    from retr.index.settings import SearchSettings


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row's text stands: its document, the passage's ordinal, and its span in the document's text."""

    document: Document
    ordinal: int
    start: int
    end: int


class KeptVectors(Protocol):
    """Vectors that can be asked for by row."""

    def vectors(self, rows: NDArray[np.int64]) -> Floats:
        """The vectors of rows, float32 [rows, dim]."""
        ...


class KeptTokens(Protocol):
    """Vectors of tokens, and MaxSim with them, by row."""

    def scores(self, query: Floats, rows: NDArray[np.int64]) -> Floats:
        """MaxSim of one query, float32 [tokens, dim], with some rows, in the order given: float32 [rows]."""
        ...

    def align(self, query: Floats, rows: Sequence[int]) -> "list[Alignment]":
        """What each token of one query, float32 [tokens, dim], matches in some rows."""
        ...

    def vectors(self, rows: NDArray[np.int64]) -> TokenVectors:
        """Some rows' tokens as they are kept, decoded, in the order given."""
        ...


class Opened(Protocol):
    """Documents by number and passages by row; a number and a row say nothing in another generation."""

    @property
    def manifest(self) -> Manifest:
        """What the generation holds and was made with."""
        ...

    @property
    def dense(self) -> KeptVectors | None:
        """The vectors of passages; None without an encoder of them."""
        ...

    @property
    def late(self) -> KeptTokens | None:
        """The vectors of tokens; None without a late encoder."""
        ...

    def ranker(self, settings: "SearchSettings") -> "Ranker":
        """What searches it."""
        ...

    def places(self, rows: Sequence[int]) -> list[Place]:
        """Where the rows' texts stand, in the order given."""
        ...

    def documents(self, numbers: Iterable[int]) -> dict[int, Document]:
        """Documents by number."""
        ...

    def ids_of(self, numbers: Sequence[int]) -> list[str]:
        """The ids of documents, in the order given."""
        ...

    def numbers_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of those living documents that have one of these ids."""
        ...

    def all_ids(self) -> Iterator[tuple[int, str]]:
        """(number, id) of every living document, in order."""
        ...

    def rows_of(self, number: int) -> NDArray[np.int64]:
        """The rows of a document's passages."""
        ...

    def hashes_of(self, number: int) -> tuple[bytes, bytes]:
        """(text hash, record hash) of a document."""
        ...
