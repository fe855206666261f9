"""Documents' tokens cut into chunks of bounded size; a document is cut only where it is larger than a chunk."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from retr.index.late.kernels.arrays import Rows


@dataclass(frozen=True, slots=True)
class Chunk:
    """The tokens from `start` to `stop`, of the documents from `first` to `last`, all counted from 0.

    Either all of these documents end here, or there is one, and it goes on in the next chunk (`open`).
    """

    first: int
    last: int
    start: int
    stop: int
    open: bool

    def __len__(self) -> int:
        return self.stop - self.start


def chunks(ends: Rows, most_tokens: int, most_documents: int) -> Iterator[Chunk]:
    """Documents with the tokens ends[n] to ends[n + 1], rising from 0, in chunks of at least a token and a document."""
    documents, total = len(ends) - 1, int(ends[-1])
    start = 0
    while start < total:
        first = int(np.searchsorted(ends, start, side="right")) - 1
        furthest = int(ends[min(first + max(most_documents, 1), documents)])
        stop = min(start + max(most_tokens, 1), furthest)
        last = int(np.searchsorted(ends, stop, side="right")) - 1
        goes_on = last <= first
        if goes_on:
            last = first + 1
        else:
            stop = int(ends[last])
        yield Chunk(first, last, start, stop, goes_on)
        start = stop
