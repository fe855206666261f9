"""The vectors of queries asked before, so that a query that comes again costs no encoding."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from retr.retrieval.embeddings import Floats

CAPACITY = 1024
"""Queries kept: 1.5 MiB of vectors of 384 numbers."""


class QueryVectors:
    """The least recently used go first. In memory only, and safe between threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._held: OrderedDict[str, Floats] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def of(self, texts: Sequence[str], encode: Callable[[list[str]], Floats]) -> Floats:
        """The vectors [texts, dim] of all texts; `encode` is called once, for the distinct ones that are not known."""
        return np.stack(self.each(texts, encode))

    def each(self, texts: Sequence[str], encode: Callable[[list[str]], Sequence[Floats] | Floats]) -> list[Floats]:
        """What `encode` gives for each text, of any shape; otherwise as `of`."""
        with self._lock:
            known = {text: self._held[text] for text in texts if text in self._held}
            for text in known:
                self._held.move_to_end(text)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            rows = encode(missing)
            known |= zip(missing, rows, strict=True)
            self._keep(missing[-self._capacity :], rows[-self._capacity :])
        return [known[text] for text in texts]

    def _keep(self, texts: Sequence[str], rows: Sequence[Floats] | Floats) -> None:
        with self._lock:
            for text, row in zip(texts, rows, strict=True):
                self._held[text] = row.copy()  # a view would keep the whole batch alive
            while len(self._held) > self._capacity:
                self._held.popitem(last=False)
