"""`retr check`: is an index what was written?"""

from pathlib import Path
from typing import Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, StoreOption, home_of


def check(
    index: IndexOption = DEFAULT_INDEX,
    store: StoreOption = None,
    encoder: Annotated[bool, typer.Option(help="Also encode the golden text again and compare.")] = True,
    json: JsonOption = False,
) -> None:
    """Read every byte of an index: checksums, counts, ids, vectors, and the golden vector encoded again."""
    from retr.cli.output import emit_json, print_line
    from retr.index.disk.checking import check_folder
    from retr.opening import load_encoder, open

    home, load = home_of(index, store), load_encoder if encoder else None
    found = check_folder(home, load=load) if isinstance(home, Path) else open(home).check(load)
    if json:
        emit_json({"sound": not found.problems, "checked": found.checked, "problems": found.problems})
    else:
        for line in found.checked:
            print_line(f"ok       {line}")
        for line in found.problems:
            print_line(f"damaged  {line}")
    if found.problems:
        raise typer.Exit(1)
