"""`retr copy`: an index, or an older generation of it, into another folder, into a store or out of one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, QuietOption, StoreOption, home_of, version_of

if TYPE_CHECKING:
    from retr.retrieval.store import StoreFacts


def copy(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="A new or empty folder, or the address of a new collection in a store."),
    ],
    index: IndexOption = DEFAULT_INDEX,
    store: StoreOption = None,
    of: Annotated[
        str | None,
        typer.Option(
            help="What to copy; `retr rollback --list` shows it. Default: all as it is now.", metavar="NAME|N"
        ),
    ] = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Copy an index into a new folder, every byte checked. Others may read and write it meanwhile.

    The copy is one generation: what is there now, or with `--of` a snapshot or an older generation.
    Into a store, or out of one, vectors are copied as they are kept, and everything is read back and compared.
    """
    from retr.cli.output import emit_json, print_line
    from retr.index.stores import is_store

    home = home_of(index, store)
    if is_store(target) or is_store(home):
        where, made = _between(home, target, of, quiet=quiet)
        if json:
            emit_json({"target": where, "generation": made.generation, "documents": made.documents})
        else:
            print_line(f"{where}: {made.documents:,} documents, each as in the original")
        return
    _folder(index, Path(target), of, as_json=json)


def _folder(index: Path, target: Path, of: str | None, *, as_json: bool) -> None:
    from retr.cli.output import emit_json, print_line
    from retr.index.disk import history
    from retr.index.disk.fsio import Disk
    from retr.index.disk.manifest import holds_index, read_current
    from retr.retrieval.errors import BadInput

    if holds_index(target) and not holds_index(index):
        raise BadInput(f"{str(target)!r} is an index, and no new folder. Copy it with: retr copy NEW --index {target}")
    read_current(index)
    # Not through an open collection: a sound snapshot can be copied out of an index whose newest files are damaged.
    made = history.copy(Disk(), index, target, of=None if of is None else version_of(index, of))
    size = sum(facts.bytes for facts in made.files().values())
    if as_json:
        documents = made.live_documents
        emit_json({"target": target, "generation": made.generation, "documents": documents, "bytes": size})
        return
    print_line(f"{target}: {made.live_documents:,} documents of generation {made.generation}, {size / 1000:,.0f} kB")


def _between(home: Path | str, target: str, of: str | None, *, quiet: bool) -> tuple[str, "StoreFacts"]:
    """The target, as it may be shown, and what it holds."""
    from retr.cli.progress import Progress
    from retr.index.stores.copying import copy, kept_in
    from retr.retrieval.errors import BadInput

    if of is not None:
        raise BadInput(f"--of {of} is for copies between folders: a store takes and gives what is there now.")
    into = kept_in(target)
    with Progress("copied", quiet=quiet) as progress:
        return into.address, copy(kept_in(home), into, progress.advance)
