"""Writers killed at random instants: everything acknowledged is there, nothing is there by half."""

import random
import time
from pathlib import Path

from retr.cli.trials.groups import Torn, made, opened, versions_in
from retr.cli.trials.rounds import Hung, Rounds, rounds
from retr.cli.trials.settings import Outcome, TrialSettings
from retr.index.disk.checking import check_folder
from retr.retrieval.errors import RetrError

SHARE, FEWEST = 0.5, 4
"""Of the time for all trials, and rounds that there are in any case."""

LATEST = 1.5
"""The longest after its last awaited step that a writer lives on, in usual steps."""


def try_kills(folder: Path, settings: TrialSettings) -> Outcome:
    """One writer after the other is killed; after each the index is opened, read and checked in full."""
    found, rng = Outcome("kills"), random.Random(settings.seed)
    made(folder, settings.made_disk())
    end, count, done = time.monotonic() + SHARE * settings.seconds, 0, 0
    try:
        with rounds(folder, settings) as writers:
            while not found.problems and (count < FEWEST or time.monotonic() < end):
                latest = LATEST * writers.usual_seconds
                writers.one(rng.randrange(1 << 30), steps=(count + 1) % 3, seconds=rng.uniform(0, latest))
                _look(folder, writers, found)
                count, done = count + 1, writers.done
    except (Torn, Hung, RetrError, OSError) as error:
        found.problems.append(f"After {count} kills: {' '.join(str(error).split())}")
    found.counts = {"kills": count, "acknowledged": done}
    found.tried = f"{count} writers killed with SIGKILL, {done} acknowledged writes; opened, read and checked each time"
    return found


def _look(folder: Path, writers: Rounds, found: Outcome) -> None:
    if writers.failure:
        found.problems.append(f"A writer failed before it was killed: {writers.failure}")
    versions = versions_in(opened(folder))
    if versions not in (writers.groups, writers.with_begun()):
        lost = {group: version for group, version in writers.groups.items() if versions.get(group) != version}
        found.problems.append(f"What was acknowledged is not what is there: groups {sorted(lost)[:5]} differ.")
    found.problems += check_folder(folder, load=None).problems[:5]
    writers.groups = versions
