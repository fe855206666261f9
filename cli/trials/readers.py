"""Open files of a reader: mapped pages of what was replaced and removed, and an open index under another's writes."""

import mmap
import os
import random
from hashlib import sha256
from pathlib import Path

from retr.cli.trials.groups import Torn, made, opened, put, versions_in
from retr.cli.trials.rounds import Hung, rounds
from retr.cli.trials.settings import Outcome, TrialSettings
from retr.index.disk.fsio import Disk
from retr.retrieval.errors import RetrError

MAPPED, BYTES = 8, 1 << 19
GROUPS, FEWEST, SHARE = 3, 3, 0.1
"""Groups to begin with, writes of another process that there are in any case, and the share of the time for more."""


def try_readers(folder: Path, settings: TrialSettings) -> Outcome:
    """Files and an index that are open while what they are made of goes away."""
    found, disk = Outcome("readers"), settings.made_disk()
    disk.make_folder(folder)
    _try_mapped(folder, disk, settings.seed, found)
    steps = _try_open_index(folder / "index", settings, found)
    found.counts = {"mapped": MAPPED, "steps": steps}
    found.tried = (
        f"{MAPPED} mapped files read after they were replaced or removed; an open index that answers as before "
        f"through {steps} writes of another process"
    )
    return found


def _try_mapped(folder: Path, disk: Disk, seed: int, found: Outcome) -> None:
    rng = random.Random(seed)
    for number in range(MAPPED):
        path, data = folder / f"mapped-{number}", rng.randbytes(BYTES)
        disk.write(path, data)
        disk.sync_file(path)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            if number % 2:
                disk.remove(path)
            else:
                disk.write(folder / "new", rng.randbytes(BYTES))
                disk.rename(folder / "new", path)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if sha256(pages).digest() != sha256(data).digest():
                found.problems.append(f"A mapped file changed when it was {'removed' if number % 2 else 'replaced'}.")


def _try_open_index(folder: Path, settings: TrialSettings, found: Outcome) -> int:
    collection = made(folder, settings.made_disk())
    for group in range(1, GROUPS + 1):
        put(collection, group, 1)
    before = versions_in(collection)
    try:
        with rounds(folder, settings) as writers:
            writers.groups = dict(before)
            writers.one(settings.seed, steps=FEWEST, seconds=SHARE * settings.seconds)
            if writers.failure:
                found.problems.append(f"A writer failed: {writers.failure}")
            if versions_in(collection) != before:
                found.problems.append("An index that was open all the time answers differently now.")
            collection.refresh()
            if versions_in(collection) not in (writers.groups, writers.with_begun()):
                found.problems.append("An index that was open does not see what was written since, or sees more.")
            if versions_in(opened(folder)) != versions_in(collection):
                found.problems.append("An index opened now is not the one that was refreshed.")
            return writers.done
    except (Torn, Hung, RetrError, OSError) as error:
        found.problems.append(" ".join(str(error).split()))
    return 0
