"""`retr delete`: documents out of an index."""

from pathlib import Path
from typing import Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, StoreOption, WaitOption, checked_wait, home_of


def delete(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids of documents.")] = None,
    index: IndexOption = DEFAULT_INDEX,
    store: StoreOption = None,
    where: Annotated[str | None, typer.Option(help="Delete the documents for which this holds.")] = None,
    ids_file: Annotated[Path | None, typer.Option(help="A file with one id a line.", metavar="FILE")] = None,
    wait: WaitOption = 0.0,
    json: JsonOption = False,
) -> None:
    """Delete documents by id or by a filter. From this moment no search finds them; `retr compact` erases them."""
    import warnings

    from retr.cli.output import emit_json, print_line, warn
    from retr.opening import open
    from retr.retrieval.errors import BadInput

    if not ids and where is None and ids_file is None:
        raise BadInput("Nothing to delete. Give ids, --ids-file FILE, or --where EXPR.")
    seconds, collection = checked_wait(wait), open(home_of(index, store))
    chosen = list(ids or [])
    if ids_file is not None:
        chosen += [line for line in ids_file.read_text(encoding="utf-8").splitlines() if line]
    if where is not None:
        chosen += collection.ids(where)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        removed = collection.delete(chosen, wait_seconds=seconds)
    for one in caught:
        warn(str(one.message))
    if json:
        emit_json({"deleted": removed, "documents": len(collection), "generation": collection.manifest.generation})
    else:
        print_line(f"{removed:,} deleted, {len(collection):,} documents left")
