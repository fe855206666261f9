"""The slow and clear index: every score in float64. The oracle that the others are compared with."""

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Matches


class ExactIndex:
    """Inner products with every row, sorted."""

    def __init__(self, dim: int) -> None:
        self._values = np.empty((0, dim), np.float32)

    def __len__(self) -> int:
        return len(self._values)

    def add(self, embeddings: Embeddings) -> None:
        """Append rows."""
        self._values = np.concatenate([self._values, single(embeddings, self._values.shape[1])])

    def search(self, queries: Embeddings, k: int, allowed: NDArray[np.bool_] | None = None) -> Matches:
        """The k best allowed rows a query by inner product."""
        scores = single(queries, self._values.shape[1]).astype(np.float64) @ self._values.astype(np.float64).T
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int64)
        best = np.take_along_axis(scores, rows, axis=1).astype(np.float32)
        return padded(best, np.where(np.isfinite(best), rows, -1), k)

    def save(self, path: Path) -> None:
        """Write one .npy file."""
        with path.open("wb") as file:
            np.save(file, self._values, allow_pickle=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        values = np.load(path, allow_pickle=False)
        index = cls(values.shape[1])
        index.add(Vectors(values))
        return index


def single(embeddings: Embeddings, dim: int) -> NDArray[np.float32]:
    """The values of single vectors of the right dim."""
    if isinstance(embeddings, TokenVectors):
        raise BadInput("This index holds one vector a text; it was given one a token. Use a late-interaction index.")
    if embeddings.dim != dim:
        raise Mismatch(f"The index has dim {dim}; the vectors have {embeddings.dim}. Use the encoder it was made with.")
    return embeddings.values


def padded(scores: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> Matches:
    """Matches of width k, filled with row -1 and score -inf; equal scores ordered by row."""
    scores = np.where(rows < 0, -np.inf, scores).astype(np.float32)
    order = np.lexsort((np.where(rows < 0, np.iinfo(np.int64).max, rows), -scores), axis=1)
    wide = max(k, rows.shape[1])
    best, found = np.full((len(rows), wide), -np.inf, np.float32), np.full((len(rows), wide), -1, np.int64)
    best[:, : rows.shape[1]] = np.take_along_axis(scores, order, 1)
    found[:, : rows.shape[1]] = np.take_along_axis(rows, order, 1)
    return Matches(best, found)
