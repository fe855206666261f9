"""Options that several commands share, and what their values mean."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_INDEX = Path(".retr")

IndexOption = Annotated[Path, typer.Option("--index", "-i", help="The index folder.", metavar="DIR")]
JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]
