"""Options that several commands share, and what their values mean."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_INDEX = Path(".retr")
_VECTORS = "Vectors"
READING = "Reading"
"""The panel of options that say how sources are read."""

IndexOption = Annotated[Path, typer.Option("--index", "-i", help="The index folder.", metavar="DIR")]
StoreOption = Annotated[
    str | None,
    typer.Option(help="In place of --index: postgresql://user@host/database?collection=name.", metavar="ADDRESS"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]
WaitOption = Annotated[
    float, typer.Option(help="Wait so long for another writer to finish; 0: not at all.", metavar="SECONDS")
]
KindOption = Annotated[
    str | None,
    typer.Option(
        help="Search structure: auto (in a new index), flat, pq, ivf-flat, ivf-sq8, ivf-pq, hnsw or rabitq.",
        rich_help_panel=_VECTORS,
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        help="How vectors are kept: float32 (in a new index), float16, int8 or binary.", rich_help_panel=_VECTORS
    ),
]
RecallOption = Annotated[
    float | None,
    typer.Option(
        help="Share of the exact top 10 that an approximate kind must find: 0.99 (in a new index).",
        rich_help_panel=_VECTORS,
    ),
]
BitsOption = Annotated[
    int | None,
    typer.Option(help="Bits a number of a token's vector: 4 (in a new index), 2 or 8.", rich_help_panel=_VECTORS),
]
DimOption = Annotated[
    int | None,
    typer.Option(help="Keep the first so many numbers of each vector. Default: all.", rich_help_panel=_VECTORS),
]

TextFieldOption = Annotated[
    str | None,
    typer.Option(help="Column(s) with the text, such as body or title,abstract.", rich_help_panel=READING),
]
IdFieldOption = Annotated[str | None, typer.Option(help="Column with the id.", rich_help_panel=READING)]
TitleFieldOption = Annotated[str | None, typer.Option(help="Column with the title.", rich_help_panel=READING)]
FormatOption = Annotated[
    str | None, typer.Option(help="Read every source as this kind: txt, jsonl, csv, …", rich_help_panel=READING)
]
EncodingOption = Annotated[
    str | None, typer.Option(help="The texts' encoding. Default: found out.", rich_help_panel=READING)
]
OnErrorOption = Annotated[
    str,
    typer.Option(help="fail: stop at the first bad record; skip: leave it out and report it.", rich_help_panel=READING),
]


def home_of(index: Path, store: str | None) -> Path | str:
    """The folder, or the address of the store where one is given. BadInput where both are."""
    from retr.index.stores import is_store
    from retr.retrieval.errors import BadInput

    if store is None:
        return index
    if index != DEFAULT_INDEX:
        raise BadInput(f"Give either --index or --store, not both; got the folder {str(index)!r} too.")
    if not is_store(store):
        raise BadInput("--store takes an address, such as postgresql://user@host/database; a folder is for --index.")
    return store


def checked_wait(seconds: float) -> float:
    """The seconds themselves, or BadInput."""
    from retr.retrieval.errors import BadInput

    if not seconds >= 0:
        raise BadInput(f"--wait takes a number of seconds of at least 0; got {seconds:g}.")
    return seconds


def version_of(folder: Path, text: str) -> int | str:
    """What `NAME|GENERATION` means in an index folder: a snapshot's name, or else a generation's number."""
    from retr.index.disk.pins import pins_in

    longest = 18  # digits; a longer number is no generation, and reading it could take for ever
    is_number = text.isascii() and text.isdigit() and len(text) <= longest
    return int(text) if is_number and text not in {pin.name for pin in pins_in(folder)} else text
