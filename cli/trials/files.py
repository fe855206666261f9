"""Files by themselves: what is written, synced and renamed is read back, past the page cache where that can be."""

import contextlib
import os
import random
import statistics
import time
from hashlib import sha256
from pathlib import Path

from retr.cli.trials.settings import Outcome, TrialSettings
from retr.index.disk.fsio import Disk

FILES, LARGEST = 20, 1 << 20
SHARE = 0.1
"""Of the time for all trials."""


def try_files(folder: Path, settings: TrialSettings) -> Outcome:
    """Write new files and put each in the place of an older one, as a commit does; read all of them in the end."""
    found, rng, disk = Outcome("files"), random.Random(settings.seed), settings.made_disk()
    disk.make_folder(folder)
    hashes: dict[str, str] = {}
    syncs: list[float] = []
    end = time.monotonic() + SHARE * settings.seconds
    count = 0
    while count < FILES or time.monotonic() < end:
        name, data = f"file-{rng.randrange(FILES // 2)} ä.bin", rng.randbytes(rng.randrange(LARGEST))
        syncs.append(_put(disk, folder, name, data))
        hashes[name] = sha256(data).hexdigest()
        count += 1
    for name, expected in hashes.items():
        _forget(folder / name)
        if sha256((folder / name).read_bytes()).hexdigest() != expected:
            found.problems.append(f"{name} was synced and renamed, and holds something else now.")
    left = [path.name for path in folder.iterdir() if path.name not in hashes]
    found.problems += [f"{name} is still there after it was renamed." for name in left]
    median = statistics.median(syncs) * 1000
    found.counts = {"files": count, "sync_ms": round(median, 2), "slowest_sync_ms": round(max(syncs) * 1000, 2)}
    found.tried = f"{count} files written, synced, renamed over others and read again; a sync takes {median:.1f} ms"
    return found


def _put(disk: Disk, folder: Path, name: str, data: bytes) -> float:
    """A file under its name, durably; gives the seconds of its sync."""
    new = folder / f"{name}.new"
    disk.write(new, data)
    started = time.perf_counter()
    disk.sync_file(new)
    spent = time.perf_counter() - started
    disk.rename(new, folder / name)
    disk.sync_folder(folder)
    return spent


def _forget(path: Path) -> None:
    """Ask the system to read the file from the disk next time."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
