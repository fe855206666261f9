"""Which documents have a token near a centroid: lists, for parts in which scanning every code takes too long."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.fsio import Disk
from retr.index.late.arrays import GrowingArray, mapped
from retr.index.late.kernels.arrays import Rows, Tokens
from retr.retrieval.errors import Damaged

LISTS, STARTS = "lists.npy", "list-starts.npy"
_AT_ONCE = 1 << 22


class Lists:
    """Documents by centroid, each list rising and without repeats: int32 [entries], starts int64 [centroids + 1]."""

    def __init__(self, entries: NDArray[np.int32], starts: Rows) -> None:
        self._entries, self._starts = entries, starts

    @classmethod
    def open(cls, folder: Path, entries: int, centroids: int, documents: int) -> "Lists":
        """Map what `write_lists` wrote. Damaged where it does not fit."""
        found = mapped(folder / LISTS, "<i4", (entries,))
        starts = mapped(folder / STARTS, "<i8", (centroids + 1,))
        whole = starts[0] == 0 and starts[-1] == entries and (np.diff(starts) >= 0).all()
        if not whole or (entries and not 0 <= int(found.min()) <= int(found.max()) < documents):
            raise Damaged(f"The lists of {str(folder)!r} name documents that are not there. Run: retr check")
        return cls(found, starts)

    def documents(self, centroids: Rows, total: int) -> NDArray[np.bool_]:
        """Which of `total` documents are in one of these centroids' lists: [total]."""
        marked = np.zeros(total, np.bool_)
        for centroid in centroids.tolist():
            marked[self._entries[self._starts[centroid] : self._starts[centroid + 1]]] = True
        return marked


def write_lists(disk: Disk, folder: Path, tokens: Tokens, centroids: int) -> tuple[int, list[str]]:
    """Write the lists of a part's codes; gives how many entries there are, and the files' names. Nothing is synced.

    Takes some 10 bytes of memory an entry, of which a document has at most one a token.
    """
    pairs = [_pairs(tokens, first, last) for first, last in _spans(tokens.offsets)]
    sizes = np.zeros(centroids + 1, np.int64)
    for found, _ in pairs:
        sizes[1:] += np.bincount(found, minlength=centroids)
    starts = np.cumsum(sizes)
    entries, free = np.empty(int(starts[-1]), np.int32), starts[:-1].copy()
    for found, documents in pairs:  # sorted by centroid, then document
        counts = np.bincount(found, minlength=centroids)
        within = np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts)
        entries[free[found] + within] = documents
        free += counts
    for name, dtype, values in ((LISTS, "<i4", entries), (STARTS, "<i8", starts)):
        with GrowingArray(disk, folder / name, dtype, ()) as file:
            file.append(values)
    return len(entries), [LISTS, STARTS]


def _spans(offsets: Rows) -> list[tuple[int, int]]:
    """Documents in runs of at most some tokens, but at least one document."""
    edges = [0]
    while edges[-1] < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[edges[-1]] + _AT_ONCE, side="right")) - 1
        edges.append(max(last, edges[-1] + 1))
    return list(pairwise(edges))


def _pairs(tokens: Tokens, first: int, last: int) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """The distinct pairs of centroid and document among some documents, by centroid, then document."""
    ends = tokens.offsets[first : last + 1]
    documents = np.repeat(np.arange(first, last, dtype=np.int64), np.diff(ends))
    keys = np.unique((tokens.centroids(slice(ends[0], ends[-1])).astype(np.int64) << 32) | documents)
    return (keys >> 32).astype(np.uint16), (keys & 0xFFFFFFFF).astype(np.int32)
