"""Rows as JSON lines with a JSON file of facts beside them, either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from retr.retrieval.errors import BadInput, NotFound


def check_rows_file(out: Path) -> None:
    """Whether rows could be written there, said before anything is read: BadInput or NotFound otherwise."""
    if out.suffix != ".jsonl":
        raise BadInput(f"Rows are written as JSON lines; got {str(out)!r}. Give a name that ends with .jsonl.")
    if not out.absolute().parent.is_dir():
        raise NotFound(f"There is no folder {str(out.parent)!r} for {out.name!r} to be in. Make it first.")
    for path in (out, out.with_suffix(".json")):
        if path.is_dir():
            raise BadInput(f"{str(path)!r} is a folder, and a file is to be written there. Give another name.")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which is `path` once all is written; after an exception there is none, or the older one."""
    temporary = path.absolute().with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
