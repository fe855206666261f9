"""A reader's hold on the generation it has open, so that no writer clears its files away.

The hold is a shared lock on the generation's manifest. The kernel drops it when the reader closes or dies, so nothing
goes stale, and a reader needs no right to write. A child made by fork shares its parent's hold.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Lease:
    """Held as long as this object lives. FileNotFoundError when the generation has just been cleared away."""

    def __init__(self, manifest: Path) -> None:
        self._file = -1
        file = os.open(manifest, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_SH)
            if os.stat(manifest).st_ino != os.fstat(file).st_ino:
                raise FileNotFoundError(f"{manifest} was replaced")
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


@contextmanager
def unread(manifest: Path) -> Iterator[bool]:
    """Whether no reader holds the generation; while the block lasts, none can come to hold it."""
    try:
        file = os.open(manifest, os.O_RDONLY)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)
