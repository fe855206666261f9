"""What a trial works on: a seeded sample of a collection's living vectors, and queries that are no part of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retr.index.snapshot import Snapshot
from retr.index.tuning.settings import TuneSettings
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

LEAST_ROWS = 100
LEAST_QUERIES = 20
_HELD_SHARE = 10
"""One vector in ten is held out at most."""
_BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """Query vectors [queries, dim] as stored; `own` is the document that each was taken from, "" for none."""

    values: Floats
    own: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)

    def halves(self, seed: int) -> tuple["Questions", "Questions"]:
        """Two disjoint halves by a seeded shuffle: one to choose with, one to check with."""
        order = np.random.default_rng([seed, 2]).permutation(len(self))
        middle = len(order) // 2
        first, second = (np.sort(part) for part in (order[:middle], order[middle:]))
        return self._part(first), self._part(second)

    def _part(self, rows: NDArray[np.int64]) -> "Questions":
        return Questions(np.ascontiguousarray(self.values[rows]), tuple(self.own[row] for row in rows))


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The rows of the sample and the rows that are held out of it as queries, both rising; `living` rows in all."""

    sample: NDArray[np.int64]
    held: NDArray[np.int64]
    living: int


def draw(snapshot: Snapshot, settings: TuneSettings, *, held: bool) -> Drawn:
    """Sample the living rows; with `held`, some of them become queries. BadInput where there are too few."""
    if snapshot.dense is None:
        raise BadInput(f"{snapshot.manifest.without_vectors} There is nothing to tune.")
    allowed = snapshot.live_rows
    rows = np.arange(len(snapshot.dense)) if allowed is None else np.flatnonzero(allowed)
    if len(rows) < LEAST_ROWS:
        raise BadInput(
            f"This index holds {len(rows)} vectors; tuning needs at least {LEAST_ROWS}. So few are searched exactly, "
            "and need none."
        )
    order = np.random.default_rng([settings.seed, 1]).permutation(rows)
    count = max(LEAST_QUERIES, min(settings.queries, len(rows) // _HELD_SHARE)) if held else 0
    return Drawn(np.sort(order[count : count + settings.sample]), np.sort(order[:count]), len(rows))


def blocks(snapshot: Snapshot, rows: NDArray[np.int64]) -> Iterator[Floats]:
    """The vectors of some rows, a block at a time."""
    assert snapshot.dense is not None
    for start in range(0, len(rows), _BLOCK_ROWS):
        yield snapshot.dense.vectors(rows[start : start + _BLOCK_ROWS])


def held_out(snapshot: Snapshot, rows: NDArray[np.int64]) -> Questions:
    """The held-out rows as queries, each with its document's id."""
    assert snapshot.dense is not None
    return Questions(snapshot.dense.vectors(rows), tuple(snapshot.ids_of(snapshot.document_of[rows].tolist())))


def given(values: Floats) -> Questions:
    """The user's query vectors, as stored vectors are, each once, so that none is in both halves."""
    _, first = np.unique(values, axis=0, return_index=True)
    if len(first) < LEAST_QUERIES:
        raise BadInput(
            f"There are {len(first)} different queries; tuning needs at least {LEAST_QUERIES}, and a few hundred for a "
            "narrow bound. Give more, or none to hold out some of the index's own vectors."
        )
    return Questions(np.ascontiguousarray(values[np.sort(first)], np.float32), ("",) * len(first))
