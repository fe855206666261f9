"""FAISS over one vector a text."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retr.index.exact import padded, single
from retr.retrieval.embeddings import Embeddings
from retr.retrieval.protocols import Matches

SCAN_SHARE = 0.02
"""Where a filter leaves a smaller share of the rows, copying them out beats testing every row against a bitmap."""


class FlatIndex:
    """Exact inner product by FAISS over blocks of vectors, which may be memory-mapped files: nothing is copied at open.

    Equal to `ExactIndex` up to float32 rounding. With unit vectors the score is the cosine.
    """

    def __init__(self, dim: int, blocks: Iterable[NDArray[np.float32]] = ()) -> None:
        self._dim = dim
        self._blocks = [block for block in blocks if len(block)]

    def __len__(self) -> int:
        return sum(len(block) for block in self._blocks)

    def add(self, embeddings: Embeddings) -> None:
        """Append rows."""
        self._blocks.append(np.ascontiguousarray(single(embeddings, self._dim)))

    def search(self, queries: Embeddings, k: int, allowed: NDArray[np.bool_] | None = None) -> Matches:
        """The k best allowed rows a query."""
        values = np.ascontiguousarray(single(queries, self._dim))
        if allowed is not None and np.count_nonzero(allowed) <= SCAN_SHARE * len(self):
            return self._search_few(values, k, np.flatnonzero(allowed))
        found, start = [], 0
        for block in self._blocks:
            part = None if allowed is None else allowed[start : start + len(block)]
            scores, rows = _knn(values, block, min(k, len(block)), part)
            found.append((scores, np.where(rows < 0, -1, rows + start)))
            start += len(block)
        return _best(found, len(values), k)

    def _search_few(self, queries: NDArray[np.float32], k: int, rows: NDArray[np.int64]) -> Matches:
        if not len(rows):
            return _best([], len(queries), k)
        scores, places = _knn(queries, self.vectors(rows), min(k, len(rows)), None)
        return _best([(scores, rows[places])], len(queries), k)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """A copy of some rows: float32 [rows, dim], in the order given."""
        out = np.empty((len(rows), self._dim), np.float32)
        start = 0
        for block in self._blocks:
            here = (rows >= start) & (rows < start + len(block))
            out[here] = block[rows[here] - start]
            start += len(block)
        return out

    def save(self, path: Path) -> None:
        """Write the vectors as one .npy file."""
        values = np.concatenate([np.empty((0, self._dim), np.float32), *self._blocks])
        with path.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map what `save` wrote."""
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        return cls(values.shape[1], [values])


def _knn(
    queries: NDArray[np.float32], block: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """FAISS's brute-force search, straight over the block's memory: scores and rows [queries, k], -1 where none."""
    import faiss

    scores = np.empty((len(queries), k), np.float32)
    rows = np.empty((len(queries), k), np.int64)
    selector: Any = None
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
    pointer = faiss.swig_ptr
    faiss.knn_inner_product(
        *(
            pointer(queries),
            pointer(block),
            block.shape[1],
            len(queries),
            len(block),
            k,
            pointer(scores),
            pointer(rows),
        ),
        selector,
    )
    return scores, rows


def _best(found: list[tuple[NDArray[np.float32], NDArray[np.int64]]], queries: int, k: int) -> Matches:
    none = (np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64))
    scores = np.concatenate([none[0], *(part[0] for part in found)], axis=1)
    rows = np.concatenate([none[1], *(part[1] for part in found)], axis=1)
    matches = padded(scores, rows, k)
    return Matches(matches.scores[:, :k], matches.rows[:, :k])
