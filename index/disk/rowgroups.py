"""A Parquet file read a row group at a time, with the groups that were read last kept in memory."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

KEPT_BYTES = 64 << 20
"""Decoded row groups of one file that are kept, in bytes: a question asked again costs no decompression."""


class RowGroups:
    """One immutable file, which threads may share. `columns` are those of a row."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns = path, list(columns)
        self._file = _opened(path)
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self.rows = int(metadata.num_rows)
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def rows_at(self, numbers: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number, row as a dict) of each wanted row, by row group."""
        wanted = np.unique(np.asarray(numbers, np.int64))
        groups = np.searchsorted(self._ends, wanted, side="right")
        for group in np.unique(groups):
            start = int(self._ends[group - 1]) if group else 0
            table = self._group(int(group))
            for number in wanted[groups == group].tolist():
                yield number, {name: table.column(name)[number - start].as_py() for name in self._columns}

    def _group(self, group: int) -> Any:
        with self._lock:
            if group in self._kept:
                self._kept.move_to_end(group)
                return self._kept[group]
            table = self._file.read_row_group(group, columns=self._columns, use_threads=False)
            self._kept[group] = table
            self._bytes += table.nbytes
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
            return table

    def column(self, name: str) -> Any:
        """One column of all rows, as one pyarrow array."""
        with self._lock:
            chunks = self._file.read(columns=[name], use_threads=False).column(name)
        return chunks.combine_chunks()

    def tables(self) -> Iterator[Any]:
        """Every row group with all its columns, in order; nothing is kept."""
        file = _opened(self._path)
        for group in range(len(self._ends)):
            yield file.read_row_group(group, use_threads=False)


def _opened(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, memory_map=True)
