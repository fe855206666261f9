"""Copies of an index with one file cut or changed: the check must say so, or opening must refuse."""

import os
import random
import shutil
import time
from pathlib import Path

from retr.cli.trials.groups import made, put
from retr.cli.trials.settings import Outcome, TrialSettings
from retr.index.disk.checking import check_folder
from retr.retrieval.errors import RetrError

SHARE, FEWEST, GROUPS = 0.15, 10, 3


def try_tears(folder: Path, settings: TrialSettings) -> Outcome:
    """Damage one file of the live generation after the other, at a random place, and check."""
    found, rng = Outcome("tears"), random.Random(settings.seed)
    collection = made(folder / "whole", settings.made_disk())
    for group in range(1, GROUPS + 1):
        put(collection, group, 1)
    names = sorted(_names(folder / "whole"))
    rng.shuffle(names)
    end, count = time.monotonic() + SHARE * settings.seconds, 0
    while not found.problems and (count < FEWEST or time.monotonic() < end):
        name, damaged = names[count % len(names)], folder / "damaged"
        shutil.copytree(folder / "whole", damaged)
        what = _damage(damaged / name, rng)
        if _sound(damaged):
            found.problems.append(f"{name} {what}, and nothing noticed.")
        shutil.rmtree(damaged)
        count += 1
    found.counts = {"damages": count, "files": len(names)}
    found.tried = f"{count} copies of an index, in each one of {len(names)} files cut or changed, checked"
    return found


def _names(folder: Path) -> set[str]:
    """The files that the live generation needs, with its manifest and what names that."""
    from retr.index.disk.manifest import read_current

    return {"CURRENT", (folder / "CURRENT").read_text("ascii").split()[0], *read_current(folder).files()}


def _damage(path: Path, rng: random.Random) -> str:
    size = path.stat().st_size
    place = rng.randrange(size)
    if rng.random() < 0.5:
        os.truncate(path, place)
        return f"was cut to {place} of {size} bytes"
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))
    return f"had a bit of byte {place} changed"


def _sound(folder: Path) -> bool:
    try:
        return not check_folder(folder, load=None).problems
    except RetrError:
        return False
