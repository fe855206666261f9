"""hnswlib with its own defaults (M 16, ef_construction 200) and one thread a query.

It knows no metadata: the buckets lie beside it in a .npy file, and the filter is a Python callable, as it asks for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stores.protocol import Floats, Options, Rows, Setting


class Hnswlib:
    """One index file."""

    sweep: Sequence[Setting] = [{"ef": ef} for ef in (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)]
    filters = True

    def build(self, folder: Path, rows: Rows) -> None:
        """Add everything, save."""
        import hnswlib

        index = hnswlib.Index(space="ip", dim=rows.vectors.shape[1])
        index.init_index(max_elements=len(rows), M=16, ef_construction=200)
        index.add_items(rows.vectors, np.arange(len(rows)))
        index.save_index(str(folder / "index.bin"))
        np.save(folder / "buckets.npy", rows.buckets)

    def open(self, folder: Path) -> None:
        """Load index and buckets."""
        import hnswlib

        self.buckets = np.load(folder / "buckets.npy")
        self.index = hnswlib.Index(space="ip", dim=384)
        self.index.load_index(str(folder / "index.bin"))

    def tune(self, setting: Setting) -> None:
        """Set ef."""
        self.index.set_ef(setting["ef"])

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Labels."""
        return self.index.knn_query(query, k=k, num_threads=1)[0][0]

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Labels; hnswlib raises where its walk meets fewer than k rows that pass."""
        allowed = ((self.buckets >= low) & (self.buckets < high)).tobytes()
        try:
            return self.index.knn_query(query, k=k, num_threads=1, filter=allowed.__getitem__)[0][0]
        except RuntimeError:
            return []

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """Labels are rows."""
        return [int(id) for id in ids]


def store(options: Options) -> Hnswlib:
    """No options."""
    return Hnswlib()
