"""The hashes of a model folder's files, remembered between processes while the files are untouched."""

import os
from collections.abc import Sequence
from pathlib import Path

from retr.retrieval.stamps import Stamps


def hashes(folder: Path, files: Sequence[Path]) -> dict[str, str]:
    """sha256 by path inside of the folder; links, of which the hub's cache is made, are followed."""
    stamps = Stamps(folder)
    found = {}
    for file in files:
        name = os.path.relpath(file, folder)
        found[name] = stamps.sha256(name)
    stamps.save()
    return found
