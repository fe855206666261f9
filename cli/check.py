"""`retr check`: is an index what was written?"""

from typing import Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption


def check(
    index: IndexOption = DEFAULT_INDEX,
    encoder: Annotated[bool, typer.Option(help="Also encode the golden text again and compare.")] = True,
    json: JsonOption = False,
) -> None:
    """Read every byte of an index: checksums, counts, ids, vectors, and the golden vector encoded again."""
    from retr.cli.output import emit_json, print_line
    from retr.index.disk.checking import check_folder
    from retr.opening import load_encoder

    found = check_folder(index, load=load_encoder if encoder else None)
    if json:
        emit_json({"sound": not found.problems, "checked": found.checked, "problems": found.problems})
    else:
        for line in found.checked:
            print_line(f"ok       {line}")
        for line in found.problems:
            print_line(f"damaged  {line}")
    if found.problems:
        raise typer.Exit(1)
