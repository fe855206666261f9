"""One writer a folder, across processes and threads: an advisory lock that names its holder."""

import contextlib
import fcntl
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from retr.retrieval.errors import Mismatch

_PAUSE = 0.02


class Busy(Mismatch):
    """Another process writes the folder."""


class WriterLock:
    """Held while a Collection writes. The kernel drops it with the process, so a dead writer leaves nothing stale."""

    def __init__(self, folder: Path, *, wait_seconds: float = 0.0) -> None:
        self._path = folder / "LOCK"
        self._wait = wait_seconds
        self._file: int | None = None

    def __enter__(self) -> Self:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._take(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        _held.add(self)
        return self

    def _take(self, file: int) -> None:
        deadline = time.monotonic() + self._wait
        while not _taken(file):
            if time.monotonic() >= deadline:
                holder = os.pread(file, 4096, 0).decode("utf-8", "replace").strip() or "unknown"
                raise Busy(
                    f"The index {str(self._path.parent)!r} is being written by another process ({holder}). "
                    "Wait for it to finish, or give --wait SECONDS; readers are not affected."
                )
            time.sleep(_PAUSE)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        note = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now})
        os.ftruncate(file, 0)
        with contextlib.suppress(OSError):  # On a full disk: the lock holds without its note, and a delete makes room.
            os.pwrite(file, note.encode(), 0)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            _held.discard(self)
            os.ftruncate(self._file, 0)
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = None

    def leave_to_parent(self) -> None:
        """Hold it no more in a child made by fork, which is no writer: the lock stays its parent's, and only that."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


_held: set[WriterLock] = set()


def _leave_all_to_parent() -> None:
    while _held:
        _held.pop().leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
