"""The GPUs that this process uses, and what lies on them: one search at a time each, and none after a fork.

A GPU index of FAISS allows no two searches at once, nor the freeing of another that shares its scratch memory: either
ends the process. So each GPU has one scratch memory (up to 1.5 GiB) and one lock for all parts of all collections.
"""

import os
import threading
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.retrieval.embeddings import Floats


class Card:
    """One GPU of this process."""

    def __init__(self, gpu: int) -> None:
        self.gpu = gpu
        self.lock = threading.RLock()  # A collector that runs between two steps of a search may free another index.
        self.resources = faiss().StandardGpuResources()


class Held:
    """An index on a card, over the rows that start at `first`; freed on its card's turn."""

    def __init__(self, card: Card, index: Any, first: int = 0) -> None:
        self._card, self._index, self._first = card, index, first
        _held.add(self)

    @property
    def usable(self) -> bool:
        """Whether this process may use it: a forked one may not."""
        return self._index is not None

    def search(self, queries: Floats, count: int, parameters: Any) -> NDArray[np.int64]:
        """The rows [queries, count] of the best scores, -1 where there are fewer; RuntimeError where CUDA fails."""
        with self._card.lock:
            _, rows = self._index.search(np.ascontiguousarray(queries), count, params=parameters)
        rows = np.asarray(rows, np.int64)
        return np.where(rows >= 0, rows + self._first, -1) if self._first else rows

    def leave(self) -> None:
        """Forget the index without freeing it: in a forked process CUDA would end the process for trying."""
        if self._index is not None:
            self._index.this.disown()
            self._index = None

    def __del__(self) -> None:
        if self._index is not None:
            with self._card.lock:
                self._index = None


_cards: dict[int, Card] = {}
_held: "WeakSet[Held]" = WeakSet()
_making = threading.Lock()
_forked = False


def card(gpu: int) -> Card:
    """The GPU's card, made at its first use."""
    with _making:
        if gpu not in _cards:
            _cards[gpu] = Card(gpu)
        return _cards[gpu]


def is_used(gpu: int) -> bool:
    """Whether its card is there, and with it its scratch memory."""
    return gpu in _cards


def forked() -> bool:
    """Whether this process was forked from one that used a GPU."""
    return _forked


def _leave_to_parent() -> None:
    global _forked, _making
    _making = threading.Lock()
    _forked = _forked or bool(_cards)
    for held in list(_held):
        held.leave()
    for one in _cards.values():
        one.resources.this.disown()
    _cards.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
