"""`retr rollback`: an older generation of an index made the newest."""

from pathlib import Path
from typing import Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, WaitOption, checked_wait, version_of


def rollback(
    to: Annotated[
        str | None,
        typer.Option(help="A snapshot's name or a generation's number. Default: the one before.", metavar="NAME|N"),
    ] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Only show what can be gone back to.")] = False,
    index: IndexOption = DEFAULT_INDEX,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Take the last change of an index back, or go back to a snapshot.

    What was live stays as the generation before, so that a second rollback undoes the first.
    """
    from retr.cli.output import emit_json, print_line
    from retr.index.disk import history
    from retr.index.disk.fsio import Disk
    from retr.index.disk.lock import WriterLock
    from retr.index.disk.manifest import read_current
    from retr.retrieval.errors import BadInput

    if to is not None and list_them:
        raise BadInput(f"Give either --list or --to, not both; got --to {to}.")
    before = read_current(index)
    if list_them:
        _show(index, as_json=json)
        return
    # Not through an open collection: an index whose newest files are damaged is what one goes back from.
    with WriterLock(index, wait_seconds=checked_wait(wait)):
        before = read_current(index)
        new = history.rollback(Disk(), index, None if to is None else version_of(index, to))
    if json:
        emit_json({"generation": new.generation, "documents": new.live_documents, "before": before.generation})
        return
    print_line(
        f"{index}: {new.live_documents:,} documents, now generation {new.generation} "
        f"({before.live_documents:,} in generation {before.generation})"
    )


def _show(folder: Path, *, as_json: bool) -> None:
    from retr.cli.output import emit_json, print_table
    from retr.index.disk.history import kept_generations

    kept = kept_generations(folder)
    if as_json:
        emit_json({"generations": kept})
        return
    rows = [[one.generation, one.documents, one.created, one.live, ", ".join(one.snapshots)] for one in kept]
    print_table(["generation", "documents", "made", "live", "snapshots"], rows)
