"""Arrays on disk as .npy files: written row by row as they come, read through memory maps that are checked first."""

from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.fsio import Disk
from retr.retrieval.errors import Damaged


class GrowingArray:
    """A .npy file whose rows are appended; leaving its context writes how many there are. Nothing is synced."""

    def __init__(self, disk: Disk, path: Path, dtype: str, row: tuple[int, ...]) -> None:
        self._dtype, self.row = np.dtype(dtype), row
        disk.write(path, self._header(0))
        self._file = path.open("r+b")
        self._file.seek(0, 2)
        self.rows = 0

    def append(self, values: NDArray[Any]) -> None:
        """Rows [n, *row], converted to the file's type."""
        block = np.ascontiguousarray(values, self._dtype)
        assert block.shape[1:] == self.row, f"rows of shape {block.shape[1:]} into a file of {self.row}"
        self._file.write(block.tobytes())
        self.rows += len(block)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.seek(0)
            self._file.write(self._header(self.rows))
        finally:
            self._file.close()

    def _header(self, rows: int) -> bytes:
        """NumPy leaves room for the number of rows to grow, so all of one file's headers have the same length."""
        file = BytesIO()
        facts = {"shape": (rows, *self.row), "fortran_order": False, "descr": self._dtype.str}
        np.lib.format.write_array_header_1_0(file, facts)
        return file.getvalue()


def mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A memory-mapped .npy file as a plain array. Damaged where it is not of this type and shape."""
    if 0 in shape:
        return np.empty(shape, dtype)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise Damaged(f"{str(path)!r} cannot be read ({error}). Run: retr check") from None
    if values.shape != shape or values.dtype != np.dtype(dtype) or not values.flags.c_contiguous:
        raise Damaged(f"{str(path)!r} holds {values.dtype} {values.shape}, not {dtype} {shape}. Run: retr check")
    return np.asarray(values)
