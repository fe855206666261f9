"""What a disk and its system must do for an index to be safe on them, tried on the disk itself.

files     what is written, synced and renamed is what is read
locks     one writer at a time, between processes; a dead one holds nothing
readers   an open index answers as before while another process replaces and removes its files
kills     a writer killed at any instant loses nothing that it has acknowledged
tears     a file that was cut or changed is noticed
full      a write that finds no room leaves what was there
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from retr.cli.trials.settings import Outcome, TrialSettings
from retr.retrieval.kinds import resolve

TRIALS = {
    "files": "retr.cli.trials.files:try_files",
    "locks": "retr.cli.trials.locks:try_locks",
    "readers": "retr.cli.trials.readers:try_readers",
    "kills": "retr.cli.trials.kills:try_kills",
    "tears": "retr.cli.trials.tears:try_tears",
    "full": "retr.cli.trials.full:try_full",
}
"""A trial's name to `module:function` of a new folder and the settings; it gives an `Outcome`."""

__all__ = ["TRIALS", "Outcome", "TrialSettings", "run_trials"]


def run_trials(folder: Path, settings: TrialSettings) -> Iterator[Outcome]:
    """Every trial in a folder of its own below `folder`, in the table's order."""
    for name in TRIALS:
        trial: Callable[[Path, TrialSettings], Outcome] = resolve(name, TRIALS, "trial")
        yield trial(folder / name, settings)
