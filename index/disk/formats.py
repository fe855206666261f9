"""Versions of the folder's format: what this one writes, and how the manifests of older ones are understood.

Nothing is written on open. The first commit to an older folder writes a manifest of today's format beside its files,
which stay as they are until they are merged. A folder of every older format is kept in `tests/index/formats`.

1   keys were rows; vectors were plain float32; segments were never merged
2   keys that outlive merging, approximate indexes, storage of vectors by choice
3   token vectors for late interaction, alone or beside vectors
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from retr.retrieval.errors import Mismatch

FORMAT = 3


def _from_1(table: dict[str, Any]) -> dict[str, Any]:
    rows = sum(segment["rows"] for segment in table["segments"])
    segments = [{**segment, "first_key": segment["first_row"]} for segment in table["segments"]]
    return {**table, "segments": segments, "next_key": rows, "next_name": table["generation"] + 1}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_1, 2: dict}
"""A format to what makes its manifest one of the next format."""


def to_current(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """A manifest's JSON as today's format has it, without the key `format`. Mismatch for a format that is not known."""
    table = dict(table)
    found = table.pop("format")
    if found not in (*UPGRADES, FORMAT):
        raise Mismatch(
            f"{str(path)!r} has format {found}; this version of retr reads formats 1 to {FORMAT}. Upgrade retr."
        )
    for version in range(found, FORMAT):
        table = UPGRADES[version](table)
    return table
