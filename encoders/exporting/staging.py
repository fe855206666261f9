"""A folder that appears whole or not at all: written beside its place, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retr.retrieval.errors import BadInput

MARKS = ("retr.json", "config.json")
"""A folder that holds none of these is no model's, and is never replaced."""


def check_free(out: Path, source: Path, *, force: bool) -> None:
    """BadInput where `out` cannot or must not be written; looked at before the work starts."""
    here, there = out.resolve(), source.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise BadInput(f"{out} and the model's own folder {source} lie in each other. Give another OUT.")
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; OUT is a folder. Give another name.")
    if not out.parent.is_dir():
        raise BadInput(f"There is no folder {out.parent} to write {out.name} into. Make it first.")
    names = sorted(item.name for item in out.iterdir())[:8] if out.is_dir() else []
    if names and not force:
        raise BadInput(f"{out} is not empty; it holds {', '.join(names)}. Give another OUT, or --force to replace it.")
    if names and not any((out / name).is_file() for name in MARKS):
        raise BadInput(f"{out} holds {', '.join(names)}, which is no model; it is not replaced, not even by force.")


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A new folder beside `out`; it becomes `out` when the block ends well, and is removed when it does not.

    What a killed export of the same `out` left is removed too.
    """
    _remove_left(out)
    folder = Path(tempfile.mkdtemp(prefix=_prefix(out), suffix=f".{os.getpid()}", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o777 & ~_umask())
        _replace(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prefix(out: Path) -> str:
    return f".{out.name}.exporting-"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _replace(folder: Path, out: Path) -> None:
    """One rename; where `out` holds an older export, that one is moved away first and then removed."""
    if not out.is_dir() or not any(out.iterdir()):
        os.replace(folder, out)
        return
    with tempfile.TemporaryDirectory(prefix=_prefix(out), suffix=f".{os.getpid()}", dir=out.parent) as away:
        os.replace(out, Path(away) / out.name)
        try:
            os.replace(folder, out)
        except OSError:
            os.replace(Path(away) / out.name, out)
            raise


def _remove_left(out: Path) -> None:
    for path in out.parent.glob(f"{_prefix(out)}*"):
        process = path.name.rpartition(".")[2]
        if process.isdecimal() and not _alive(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
