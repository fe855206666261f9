"""Writers that are there to be killed: one process has everything imported, and forks one after the other.

    python -m retr.cli.trials.writers FOLDER DISK

Of each line of standard input, `[seed, groups, bytes]`, it makes a writer, which changes the index until it is killed.
`bytes` is the most that a file may have, null for no limit. What the writer begins and has done it says on standard
output, a line of JSON each, and how it ended.
"""

import json
import os
import random
import resource
import sys
from pathlib import Path
from typing import Any

from retr.cli.trials.groups import opened, put, take_out
from retr.cli.trials.settings import TrialSettings

MOST_GROUPS = 25


def main() -> None:
    """Fork a writer for each line, and wait for it."""
    import duckdb  # noqa: F401
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    from retr.index.dense.engine import faiss

    faiss()

    folder, disk = Path(sys.argv[1]), sys.argv[2]
    for line in sys.stdin:
        seed, groups, limit = json.loads(line)
        child = os.fork()
        if not child:
            write(folder, disk, random.Random(seed), {int(group): version for group, version in groups.items()}, limit)
        status = os.waitpid(child, 0)[1]
        say("ended", os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)


def say(*what: Any) -> None:
    """One line, which is out when this returns: what it says survives the process."""
    os.write(1, (json.dumps(what) + "\n").encode())


def write(folder: Path, disk: str, rng: random.Random, groups: dict[int, int], limit: int | None) -> None:
    """Change the index, one acknowledged step after the other, until killed; does not return."""
    try:
        say("writer", os.getpid())
        collection = opened(folder, TrialSettings(disk=disk).made_disk())
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        while True:
            step(collection, rng, groups)
            say("done")
    except BaseException as error:
        say("failed", type(error).__name__, " ".join(str(error).split())[:300])
    os._exit(0)


def step(collection: Any, rng: random.Random, groups: dict[int, int]) -> None:
    """One change, announced before it begins."""
    kind = rng.choices(["new", "again", "delete", "compact"], [5, 3, 2 if len(groups) < MOST_GROUPS else 9, 1])[0]
    group = max(groups, default=0) + 1 if kind == "new" or not groups else rng.choice(sorted(groups))
    if kind == "compact":
        say("begin", None, None)
        collection.compact()
    elif kind == "delete" and group in groups:
        say("begin", group, None)
        take_out(collection, group)
        del groups[group]
    else:
        groups[group] = groups.get(group, 0) + 1
        say("begin", group, groups[group])
        put(collection, group, groups[group])


if __name__ == "__main__":
    main()
