"""Are the files what was written? Asked before anything reads them: damaged vectors give wrong answers silently."""

from collections.abc import Iterator
from pathlib import Path

from retr.index.disk.fsio import FileFacts
from retr.index.disk.manifest import Manifest
from retr.retrieval.errors import Damaged
from retr.retrieval.stamps import Stamps

REMEDY = "Restore the index from a copy, or make it again with `retr index`."


def verify(folder: Path, manifest: Manifest) -> None:
    """Damaged, naming the file, when one is missing or not what was written.

    A content once checked is not read again while the file is untouched.
    """
    for problem in problems(folder, manifest, again=False):
        raise Damaged(f"{problem} {REMEDY}")


def problems(folder: Path, manifest: Manifest, *, again: bool = True) -> Iterator[str]:
    """Each file that is missing or not what was written, in one sentence; `again` reads every byte."""
    stamps = Stamps(folder)
    files = manifest.files()
    for name, facts in files.items():
        problem = _problem(folder / name, facts, stamps, name, again)
        if problem:
            yield problem
    stamps.save(keep=set(files))


def _problem(path: Path, facts: FileFacts, stamps: Stamps, name: str, again: bool) -> str:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return f"{str(path)!r} is missing."
    if size != facts.bytes:
        return f"{str(path)!r} has {size} bytes, but {facts.bytes} were written."
    if stamps.sha256(name, again=again) != facts.sha256:
        return f"{str(path)!r} is damaged: its SHA-256 is not the one that was written."
    return ""
