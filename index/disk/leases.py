"""A reader's hold on the generation it has open, so that no writer clears its files away.

The hold is a shared lock on the generation's manifest. The kernel drops it when the reader closes or dies, so nothing
goes stale, and a reader needs no right to write. A child made by fork shares its parent's hold.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from retr.index.disk.manifest import CURRENT, Manifest, read_current
from retr.retrieval.errors import Damaged

_TRIES = 20


def live_manifest(folder: Path) -> Manifest:
    """The live manifest, for a reader: when a writer has cleared it away between the pointer and it, the next one."""
    for _ in range(_TRIES):
        pointer = _pointer(folder)
        try:
            return read_current(folder)
        except Damaged:
            if _pointer(folder) == pointer:
                raise
    return read_current(folder)


def _pointer(folder: Path) -> bytes:
    try:
        return (folder / CURRENT).read_bytes()
    except OSError:
        return b""


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

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self._file >= 0:  # `close` is bound above since the interpreter may have taken `os` away when it exits
            close(self._file)


def held(folder: Path) -> tuple[Manifest, Lease]:
    """The live generation, held: none of its files is cleared away as long as the lease lives."""
    while True:
        manifest = live_manifest(folder)
        try:
            return manifest, Lease(folder / manifest.name)
        except FileNotFoundError:
            continue


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
