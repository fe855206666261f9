"""A model folder that is either whole or not there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retr.retrieval.errors import BadInput, NotFound


def check_new(out: Path) -> None:
    """BadInput where something stands in the place of the new folder; NotFound without the folder it is to be in."""
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise BadInput(f"{str(out)!r} exists already. Name a new folder as out, or remove that one first.")
    if not out.absolute().parent.is_dir():
        raise NotFound(f"There is no folder {str(out.parent)!r} for {out.name!r} to be in. Make it first.")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which is `out` once all is written; after an exception there is none."""
    check_new(out)
    temporary = out.absolute().with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
