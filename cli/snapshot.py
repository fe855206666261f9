"""`retr snapshot`: names for states of an index that are to be kept."""

from typing import Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, WaitOption, checked_wait


def snapshot(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Keep what is there now under this name.")] = None,
    drop: Annotated[str | None, typer.Option(help="Let the snapshot of that name go.", metavar="NAME")] = None,
    index: IndexOption = DEFAULT_INDEX,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Keep an index as it is now under a name, or list the snapshots there are.

    A snapshot is no copy: it keeps the files that it needs. `retr rollback --to NAME` goes back to it, and
    `retr copy TARGET --of NAME` takes it out.
    """
    from retr.cli.output import emit_json, print_line, print_table
    from retr.opening import open
    from retr.retrieval.errors import BadInput

    if name is not None and drop is not None:
        raise BadInput(f"Give either NAME to keep or --drop NAME, not both; got {name!r} and --drop {drop!r}.")
    seconds, collection = checked_wait(wait), open(index)
    if name is not None:
        made = collection.snapshot(name, wait_seconds=seconds)
        said = f"{made.name}: {made.documents:,} documents of generation {made.generation}"
        emit_json(made) if json else print_line(said)
        return
    if drop is not None:
        collection.drop_snapshot(drop, wait_seconds=seconds)
        emit_json({"dropped": drop}) if json else print_line(f"{drop}: dropped; `retr compact` frees what it kept")
        return
    pins = collection.snapshots()
    if json:
        emit_json({"snapshots": pins})
    elif pins:
        rows = [[pin.name, pin.documents, pin.generation, pin.created] for pin in pins]
        print_table(["snapshot", "documents", "generation", "made"], rows)
    else:
        print_line("No snapshots. Make one with: retr snapshot NAME")
