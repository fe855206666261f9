"""FAISS by hand, one thread: what a careful user would write; the floor that any Python API over it stands on.

options  {"factory": "Flat" | "PQ96x4fs,RFlat" | …}. No metadata: buckets lie beside it, the filter is a bitmap.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stores.protocol import Floats, Options, Rows, Setting


class Faiss:
    """One index file."""

    def __init__(self, factory: str) -> None:
        self.factory = factory
        self.refined = "RFlat" in factory
        self.filters = not self.refined  # a refining index hands no selector on
        self.sweep: Sequence[Setting] = (
            [{"k_factor": factor} for factor in (2, 4, 8, 16, 32, 64)] if self.refined else [{}]
        )

    def build(self, folder: Path, rows: Rows) -> None:
        """Train, add, save."""
        import faiss

        index = faiss.index_factory(rows.vectors.shape[1], self.factory, faiss.METRIC_INNER_PRODUCT)
        index.train(rows.vectors)
        index.add(rows.vectors)
        faiss.write_index(index, str(folder / "index.faiss"))
        np.save(folder / "buckets.npy", rows.buckets)

    def open(self, folder: Path) -> None:
        """Load index and buckets."""
        import faiss

        faiss.omp_set_num_threads(1)
        self.index: Any = faiss.read_index(str(folder / "index.faiss"))
        self.buckets = np.load(folder / "buckets.npy")

    def tune(self, setting: Setting) -> None:
        """Set the width of the refinement."""
        if self.refined:
            self.index.k_factor = setting["k_factor"]

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Rows."""
        return list(self.index.search(query[None], k)[1][0])

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Rows; the bitmap is made for each query, since the filter is part of it."""
        import faiss

        bits = np.packbits((self.buckets >= low) & (self.buckets < high), bitorder="little")
        chosen = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        return list(self.index.search(query[None], k, params=chosen)[1][0])

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """Ids are rows; -1 stands where none was found."""
        return [int(id) for id in ids if id >= 0]


def store(options: Options) -> Faiss:
    """By the factory string."""
    return Faiss(options["factory"])
