"""How the index folder's costs grow with its vectors, and the curve through what was measured.

    python bench/growth.py [--sizes 10000 32000 100000 316000 1000000] [--vectors FOLDER]

Needs the files of bench/growth_vectors.py (or of bench/index_vectors.py, for fewer and larger vectors). It measures as
bench/index.py does, each thing in a process of its own, and keeps what it has measured by size, so that a run that was
stopped goes on; `--fresh` forgets, `--collect` measures nothing. Two curves are fitted to each cost, a straight line by
least squares of the relative errors and a * n ** b by least squares of the logarithms; the nearer one is shown.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import index  # noqa: TID251 - bench/index.py, not the folder of that name
import index_tables
import numpy as np
import recording
from index_systems import RETR, System
from systems import absolute
from tables import Table, number

ROWS = ("retr", "retr, recall 0.95")
SIZES = (10_000, 32_000, 100_000, 316_000, 1_000_000)
TARGET = 0.95
AHEAD = 10
"""How many times the largest size a fitted curve is asked for."""

Note = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """A column: what it is called, how a note gives it, and how many digits are shown."""

    name: str
    value: Callable[[Note], float | None]
    digits: int = 1


@dataclass(frozen=True, slots=True)
class Curve:
    """`floor + a * n ** b`, and the largest factor by which a measured value is off it."""

    a: float
    b: float
    off: float
    floor: float = 0.0

    def at(self, size: int) -> float:
        """Its value."""
        return float(self.floor + self.a * size**self.b)

    def __str__(self) -> str:
        return f"{self.floor:.3g} + {self.a:.3g} · n" if self.floor else f"{self.a:.3g} · n^{self.b:.2f}"


def main() -> None:
    """Measure what is missing, then print and record all that is there."""
    args = arguments()
    if args.fresh:
        shutil.rmtree(args.work / "measured", ignore_errors=True)
    systems = [System(name, "retr_store", ["retr"], RETR[name], ours=True) for name in ROWS]
    for size in sorted(args.sizes):
        todo = [system for system in systems if not measured(args, size, system)]
        if todo and not args.collect:
            index.prepare(args, size)
            index.measure(args, size, todo)
            shutil.rmtree(args.work / str(size), ignore_errors=True)
    found = [json.loads(path.read_text()) for path in (args.work / "measured").glob("*/*.json")]
    found.sort(key=lambda one: (ROWS.index(one["system"]), one["size"]))
    made = tables(found)
    print("\n\n".join(table.markdown() for table in made))
    result = {
        "args": recording.plain(vars(args)),
        "machine": recording.machine(),
        "versions": {"retr": recording.versions(sys.executable, recording.retr_packages())},
        "vectors": json.loads((args.vectors / "about.json").read_text()),
        "measured": found,
        "tables": [table.json() for table in made],
    }
    result["caption"] = caption(found, result["vectors"], result["machine"])
    print(recording.record(args.name, result, folder=args.results))


def arguments(
    about: str | None = __doc__, *, sizes: Sequence[int] = SIZES, vectors: str = "growth-vectors", name: str = "growth"
) -> argparse.Namespace:
    """The command line; names as bench/index.py has them, whose functions read them."""
    scratch = recording.ROOT / "bench" / "scratch"
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(sizes))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--openings", type=int, default=2, help="new processes a repeat that open and answer once")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=20, help="most time for one setting")
    parser.add_argument("--timeout", type=float, default=3600, help="most time for one process")
    parser.add_argument("--core", type=int, default=1, help="the one core that answers queries")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--vectors", type=absolute, default=scratch / vectors)
    parser.add_argument("--work", type=absolute, default=scratch / name)
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    parser.add_argument("--name", default=name, help="name of the result")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--collect", action="store_true", help="measure nothing, record what is there")
    return parser.parse_args()


def measured(args: argparse.Namespace, size: int, system: System) -> bool:
    """Whether all repeats of a system at a size are there."""
    path = args.work / "measured" / str(size) / f"{index.folder_of(args, size, system).name}.json"
    return path.exists() and bool(len(json.loads(path.read_text())["searches"]) >= args.repeats)


def tables(found: Sequence[Note]) -> list[Table]:
    """What was measured, a row a size, and the curves through it."""
    rows = [[note["system"], f"{note['size']:,}", *(shown(cost, note) for cost in COSTS)] for note in found]
    made = [Table(["system", "vectors", *(cost.name for cost in COSTS)], rows)]
    fits, ahead = [], AHEAD * max((note["size"] for note in found), default=0)
    for name in dict.fromkeys(note["system"] for note in found):
        group = [note for note in found if note["system"] == name]
        for cost in COSTS:
            curve = fitted([(note["size"], cost.value(note)) for note in group])
            if curve is not None and cost.name != RECALL:
                known = [str(curve), f"× {curve.off:.2f}", number(curve.at(ahead), cost.digits)]
                fits.append([f"{name}: {cost.name}", *known])
    return [*made, Table(["cost", "fitted", "farthest point", f"the curve at {ahead:,}"], fits)]


def shown(cost: Cost, note: Note) -> str:
    """A cell."""
    return number(cost.value(note), cost.digits)


def fitted(points: Sequence[tuple[int, float | None]]) -> Curve | None:
    """The nearer of two curves through at least three points above 0."""
    known = [(size, value) for size, value in points if value]
    if len(known) < 3:
        return None
    sizes, values = np.array(known, np.float64).T
    curves = [curve for curve in (power(sizes, values), line(sizes, values)) if curve is not None]
    return min(curves, key=lambda curve: curve.off)


def power(sizes: Any, values: Any) -> Curve:
    """`a * n ** b`."""
    b, a = np.polyfit(np.log(sizes), np.log(values), 1)
    return judged(float(np.exp(a)), float(b), 0.0, sizes, values)


def line(sizes: Any, values: Any) -> Curve | None:
    """`floor + a * n`; None where one of them would not be above 0."""
    (floor, a), *_ = np.linalg.lstsq(np.stack([1 / values, sizes / values], axis=1), np.ones(len(values)), rcond=None)
    return judged(float(a), 1.0, float(floor), sizes, values) if floor > 0 and a > 0 else None


def judged(a: float, b: float, floor: float, sizes: Any, values: Any) -> Curve:
    """The curve with how far it is from the points."""
    off = np.exp(np.abs(np.log(values / (floor + a * sizes**b))).max())
    return Curve(a, b, float(off), floor)


def asked(name: str) -> Callable[[Note], float | None]:
    """A value of the cheapest setting that reached the target."""

    def value(note: Note) -> float | None:
        best = index_tables.cheapest(note, TARGET)
        return None if best is None else float(best[name])

    return value


def rate(note: Note) -> float | None:
    """Queries a second by the clock, one at a time."""
    wall = asked("wall_ms")(note)
    return None if wall is None else 1000 / wall


def filtered(width: int) -> Callable[[Note], float | None]:
    """CPU of a query with a filter that so many in 10,000 pass."""

    def value(note: Note) -> float | None:
        runs = [one for search in note["searches"] for one in search["filtered"] if one["width"] == width]
        return index_tables.least(one["cpu_ms"] for one in runs)

    return value


def built(name: str) -> Callable[[Note], float | None]:
    """The least of all builds."""
    return lambda note: index_tables.least(one[name] for one in note["builds"])


def answering(note: Note) -> float | None:
    """What is resident after the queries."""
    return index_tables.least(one["memory"]["VmRSS"] for one in note["searches"])


RECALL = "recall@10"
COSTS = (
    Cost("fill, CPU s", built("cpu")),
    Cost("fill, s", built("wall")),
    Cost("filling MiB", built("peak_mib"), 0),
    Cost("disk MiB", built("disk_mib")),
    Cost("answering MiB", answering, 0),
    Cost(RECALL, asked("recall"), 4),
    Cost("query, CPU ms", asked("cpu_ms"), 3),
    Cost("queries/s", rate, 0),
    Cost("1% pass, CPU ms", filtered(100), 3),
    Cost("10% pass, CPU ms", filtered(1000), 3),
)


def caption(found: Sequence[Note], vectors: Note, machine: Note) -> str:
    """Where the numbers come from."""
    runs = [one for note in found for part in ("builds", "openings", "searches") for one in note[part]]
    loads = [one["load"] for one in runs] or [0.0]
    days = sorted({note["when"][:10] for note in found}) or ["never"]
    texts = "Distinct sentences of public corpora"
    if vectors.get("sentences", 1) > 1:
        texts = "Passages of public corpora, one to four sentences, many part of another and so hard to tell apart"
    return (
        f"{texts}; encoded by {vectors['encoder']['name']}, {vectors['encoder']['runtime']}. Queries were drawn from "
        f"{vectors['real_queries']} real ones and {vectors['held_out_sentences']} texts kept out; one at a time on one "
        f"core; the target of recall is {TARGET}. Least of the repeats. {machine['cpu']}, {machine['cores']} cores; "
        f"measured {days[0]} to {days[-1]}; load at the start of a process {min(loads)} to {max(loads)}. Where that is "
        "far above the cores, times by the clock are of a machine with other work, and CPU times are some way above "
        "those of an idle one."
    )


if __name__ == "__main__":
    main()
