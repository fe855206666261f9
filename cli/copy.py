"""`retr copy`: an index, or an older generation of it, into another folder."""

from pathlib import Path
from typing import Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, version_of


def copy(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new or empty folder.")],
    index: IndexOption = DEFAULT_INDEX,
    of: Annotated[
        str | None,
        typer.Option(
            help="What to copy; `retr rollback --list` shows it. Default: all as it is now.", metavar="NAME|N"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Copy an index into a new folder, every byte checked. Others may read and write it meanwhile.

    The copy is one generation: what is there now, or with `--of` a snapshot or an older generation.
    """
    from retr.cli.output import emit_json, print_line
    from retr.index.disk import history
    from retr.index.disk.fsio import Disk
    from retr.index.disk.manifest import read_current

    read_current(index)
    # Not through an open collection: a sound snapshot can be copied out of an index whose newest files are damaged.
    made = history.copy(Disk(), index, target, of=None if of is None else version_of(index, of))
    size = sum(facts.bytes for facts in made.files().values())
    if json:
        documents = made.live_documents
        emit_json({"target": target, "generation": made.generation, "documents": documents, "bytes": size})
        return
    print_line(f"{target}: {made.live_documents:,} documents of generation {made.generation}, {size / 1000:,.0f} kB")
