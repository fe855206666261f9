"""One shard's file, written window by window so that no shard is ever in memory, and given its name at the end."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np

from retr.encoders.bulk.folder import UNFINISHED, Rows, ShardFacts, shard_path, sync_folder


def npy_head(shape: tuple[int, int], dtype: str) -> bytes:
    """The head of a `.npy` file of these rows, before which nothing and after which the numbers stand."""
    described = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, described)
    return head.getvalue()


def unfinished_path(folder: Path, key: str, attempt: str = "") -> Path:
    """Where a shard lies before it has its name; attempts that may go on side by side have a name each."""
    path = shard_path(folder, key)
    return path.with_name(f"{path.name}{attempt and '.'}{attempt}{UNFINISHED}")


def give_name(folder: Path, key: str, attempt: str = "") -> None:
    """Put a shard that is durable under its name, durably; one that is there already is replaced."""
    path = shard_path(folder, key)
    os.replace(unfinished_path(folder, key, attempt), path)
    sync_folder(path.parent)


class ShardWriter:
    """A shard from its first rows to its last. After `finish` it waits for its name, after `drop` it is gone."""

    def __init__(self, unfinished: Path, key: str, shape: tuple[int, int], dtype: str) -> None:
        self._key, self._texts, self._unfinished = key, shape[0], unfinished
        self._digest = hashlib.sha256()
        self._bytes = 0
        self.rows = 0
        self._file = self._unfinished.open("wb")
        try:
            self._put(npy_head(shape, dtype))
        except BaseException:
            self.drop()
            raise

    def add(self, rows: Rows) -> None:
        """The next rows."""
        self._put(rows.tobytes())
        self.rows += len(rows)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)

    def finish(self) -> ShardFacts:
        """Make the shard durable; it has its name after `give_name`."""
        assert self.rows == self._texts
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        return ShardFacts(self._key, self._texts, self._bytes, self._digest.hexdigest())

    def drop(self) -> None:
        """Leave nothing of a shard that is not finished."""
        try:
            self._file.close()  # On a full disk what is buffered cannot be written, which is an error once more.
        except OSError:
            pass
        finally:
            self._unfinished.unlink(missing_ok=True)
