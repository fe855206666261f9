"""usearch with its own defaults (connectivity 16, expansion_add 128), float32. Its Python API has no filter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stores.protocol import Floats, Options, Rows, Setting


class Usearch:
    """One index file."""

    sweep: Sequence[Setting] = [{"expansion": ef} for ef in (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)]
    filters = False

    def build(self, folder: Path, rows: Rows) -> None:
        """Add everything, save."""
        from usearch.index import Index

        index = Index(ndim=rows.vectors.shape[1], metric="ip", dtype="f32")
        index.add(np.arange(len(rows)), rows.vectors)
        index.save(str(folder / "index.usearch"))

    def open(self, folder: Path) -> None:
        """Load it."""
        from usearch.index import Index

        self.index = Index.restore(str(folder / "index.usearch"))

    def tune(self, setting: Setting) -> None:
        """Set the expansion."""
        self.index.expansion_search = setting["expansion"]

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Keys."""
        return self.index.search(query, k, threads=1).keys

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Not offered."""
        raise NotImplementedError

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """Keys are rows."""
        return [int(id) for id in ids]


def store(options: Options) -> Usearch:
    """No options."""
    return Usearch()
