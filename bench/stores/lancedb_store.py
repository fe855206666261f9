"""LanceDB with one of its indexes, its own defaults for building, and a B-tree on the filtered column.

options  {"index": "IVF_PQ" | "IVF_HNSW_SQ"}
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stores.protocol import Floats, Options, Rows, Setting

SWEEPS: dict[str, list[Setting]] = {
    "IVF_PQ": [
        {"nprobes": probes, "refine_factor": refine}
        for probes in (5, 10, 20, 50, 100, 300)
        for refine in (2, 5, 10, 30)
    ],
    "IVF_HNSW_SQ": [
        {"nprobes": probes, "ef": ef, "refine_factor": refine}
        for probes in (1, 5, 20)
        for ef, refine in ((20, 1), (50, 2), (100, 2), (200, 4), (400, 4))
    ],
}


class Lance:
    """One table."""

    filters = True

    def __init__(self, index: str) -> None:
        self.index = index
        self.sweep = SWEEPS[index]
        self.setting: Setting = self.sweep[0]

    def build(self, folder: Path, rows: Rows) -> None:
        """Write the table, then its indexes."""
        import lancedb
        import pyarrow as pa

        dim = rows.vectors.shape[1]
        columns = {
            "id": np.arange(len(rows)),
            "bucket": rows.buckets,
            "set": rows.sets,
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(rows.vectors.ravel()), dim),
        }
        table = lancedb.connect(str(folder)).create_table("docs", pa.table(columns))
        table.create_index(metric="dot", vector_column_name="vector", index_type=self.index)
        table.create_scalar_index("bucket")

    def open(self, folder: Path) -> None:
        """The table on disk."""
        import lancedb

        self.table = lancedb.connect(str(folder)).open_table("docs")

    def tune(self, setting: Setting) -> None:
        """Remember what each query is given."""
        self.setting = setting

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Ids."""
        return self._ids(self._query(query, k))

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Ids; filtered before the search."""
        return self._ids(self._query(query, k).where(f"bucket >= {low} AND bucket < {high}", prefilter=True))

    def _query(self, query: Floats, k: int) -> Any:
        asked = self.table.search(query).limit(k).select(["id"])
        for name, value in self.setting.items():
            asked = getattr(asked, name)(value)
        return asked

    def _ids(self, asked: Any) -> Sequence[Any]:
        return list(asked.to_arrow()["id"].to_pylist())

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """Ids are rows."""
        return list(ids)


def store(options: Options) -> Lance:
    """By the kind of index."""
    return Lance(options["index"])
