"""A bench's tables: printed, and recorded with the command line, the machine and the versions."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import recording
from tables import Table


def record_tables(name: str, result: Mapping[str, Any], args: argparse.Namespace, packages: Sequence[str]) -> None:
    """Print `result["tables"]`, and write the whole into the folder `args.results`."""
    whole = {
        "args": recording.plain(vars(args)),
        "machine": recording.machine(),
        "versions": {"retr": recording.versions(sys.executable, packages)},
        **result,
    }
    for table in whole["tables"]:
        print(Table.read(table).markdown(), end="\n\n")
    print(recording.record(name, whole, folder=args.results))
