"""The `Index` protocol over one array of vectors: the exact search of a part, without a part's files."""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.scan import scan, widened
from retr.index.dense.storage import StoredVectors
from retr.index.dense.threads import one_thread
from retr.index.exact import single
from retr.retrieval.embeddings import Embeddings
from retr.retrieval.protocols import Matches


class FlatIndex:
    """Exact inner products by FAISS over float32 vectors, which may be a memory-mapped file: nothing is copied at open.

    Equal to `ExactIndex` up to float32 rounding. With unit vectors the score is the cosine.
    """

    def __init__(self, dim: int) -> None:
        self._values = np.empty((0, dim), np.float32)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, embeddings: Embeddings) -> None:
        """Append rows."""
        self._values = np.concatenate([self._values, single(embeddings, self._values.shape[1])])

    def search(self, queries: Embeddings, k: int, allowed: NDArray[np.bool_] | None = None) -> Matches:
        """The k best allowed rows a query."""
        dim = self._values.shape[1]
        values = np.ascontiguousarray(single(queries, dim))
        stored = StoredVectors(self._values, np.empty(0, np.float32), dim, "float32")
        with one_thread():
            scores, rows = scan(stored, values, k, None if allowed is None else np.flatnonzero(allowed))
        return Matches(widened(scores, -np.inf, k), widened(rows, -1, k))

    def save(self, path: Path) -> None:
        """Write the vectors as one .npy file."""
        with path.open("wb") as file:
            np.save(file, self._values, allow_pickle=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map what `save` wrote."""
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        index = cls(values.shape[1])
        index._values = values
        return index
