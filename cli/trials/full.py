"""Writes that find no room, by a limit on the size of the writer's files: what was there stays, and life goes on."""

import random
from pathlib import Path

from retr.cli.trials.groups import Torn, made, opened, put, versions_in
from retr.cli.trials.rounds import Hung, rounds
from retr.cli.trials.settings import Outcome, TrialSettings
from retr.index.disk.checking import check_folder
from retr.retrieval.errors import RetrError

TIMES, GROUPS = 4, 2
FEWEST_BYTES, MOST_BYTES = 16, 6000
"""Limits on a file, between nothing fitting and little failing."""


def try_full(folder: Path, settings: TrialSettings) -> Outcome:
    """Writers whose files may not grow beyond some bytes, each followed by a look and a write without a limit."""
    found, rng = Outcome("full"), random.Random(settings.seed)
    collection = made(folder, settings.made_disk())
    for group in range(1, GROUPS + 1):
        put(collection, group, 1)
    stopped = 0
    try:
        with rounds(folder, settings) as writers:
            writers.groups = versions_in(collection)
            for number in range(TIMES):
                limit = int(FEWEST_BYTES * (MOST_BYTES / FEWEST_BYTES) ** (number / (TIMES - 1)))
                writers.one(rng.randrange(1 << 30), steps=20, seconds=0.0, limit=limit)
                stopped += bool(writers.failure)
                versions = versions_in(opened(folder))
                if versions not in (writers.groups, writers.with_begun()):
                    found.problems.append(f"After a write that found no room ({limit} bytes) the index is another.")
                found.problems += check_folder(folder, load=None).problems[:5]
                writers.groups = versions
                writers.one(rng.randrange(1 << 30), steps=1, seconds=0.0)
                if writers.failure:
                    found.problems.append(f"With room again a write fails: {writers.failure}")
                writers.groups = versions_in(opened(folder))
    except (Torn, Hung, RetrError, OSError) as error:
        found.problems.append(" ".join(str(error).split()))
    if not stopped:
        found.problems.append("No write found too little room: the system does not hold to limits on files.")
    found.counts = {"writers": TIMES, "stopped": stopped}
    found.tried = (
        f"{TIMES} writers with a limit on their files' size, {stopped} stopped by it; then a write without one"
    )
    return found
