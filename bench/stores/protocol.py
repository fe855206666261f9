"""What bench/index.py asks of every vector store: fill a folder, open it, answer one query at a time.

A module of this folder has one function `store(options) -> Store`. What lies with a server and not in the folder has
`disk_mib()` beside the protocol, which is asked after `build`. It runs in the interpreter of that store and may
import nothing of the others. Rows are counted from 0; ids are whatever is natural to the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Setting = Mapping[str, int]
"""Search parameters by the store's own names."""
Options = Mapping[str, Any]
"""How a store is built, by its own names."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is put in, the same for every store: unit vectors [rows, dim], a number and a word a row; no texts."""

    vectors: Floats
    buckets: NDArray[np.int32]
    sets: Sequence[str]

    def __len__(self) -> int:
        return len(self.vectors)


class Store(Protocol):
    """One system."""

    @property
    def sweep(self) -> Sequence[Setting]:
        """Search parameters to be tried, cheap ones first; one empty setting where there is nothing to choose."""
        ...

    @property
    def filters(self) -> bool:
        """Whether the store offers a filter at all."""
        ...

    def build(self, folder: Path, rows: Rows) -> None:
        """Fill an empty folder so that a new process can open it; everything is on disk at the return."""
        ...

    def open(self, folder: Path) -> None:
        """Open what `build` made."""
        ...

    def tune(self, setting: Setting) -> None:
        """Take search parameters for the queries to come."""
        ...

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Ids of the k nearest, best first; query [dim]."""
        ...

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Ids of the k nearest with low <= bucket < high; every query comes with a range of its own."""
        ...

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """Rows of ids; not timed."""
        ...


def batches(count: int, size: int) -> list[tuple[int, int]]:
    """Start and stop of consecutive batches."""
    return [(start, min(start + size, count)) for start in range(0, count, size)]
