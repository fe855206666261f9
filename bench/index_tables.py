"""What bench/index.py measured, as tables: building and opening, single queries at a recall, filtered queries."""

import statistics
from collections.abc import Sequence
from typing import Any

from tables import Table, number

TARGETS = (0.95, 0.99)
OURS = ("retr", "retr, recall 0.95")  # the default, and the default with its recall target changed
Note = dict[str, Any]
"""One system at one size: its builds, openings and searches, or how it failed."""


def result(found: Sequence[Note], vectors: dict[str, Any]) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    made = [table.json() for table in tables(found)]
    return {"vectors": vectors, "measured": list(found), "tables": made, "caption": caption(found, vectors)}


def tables(found: Sequence[Note]) -> list[Table]:
    """Three a size."""
    sizes = sorted({note["size"] for note in found})
    groups = [[note for note in found if note["size"] == size] for size in sizes]
    return [make(group) for group in groups for make in (built, asked, filtered)]


def built(group: Sequence[Note]) -> Table:
    """Costs before the first query, and of the first query in a new process."""
    columns = [f"{group[0]['size']:,} vectors", "build CPU s", "wall s", "build MiB", "disk MiB", "open + answer ms"]
    columns += ["whole process ms", "its CPU ms", "answering MiB"]
    return Table(columns, [[name(note), *built_cells(note)] for note in group])


def built_cells(note: Note) -> list[str]:
    """Least of all repeats; a dash for what did not come to its end."""
    builds, openings, searches = note["builds"], note["openings"], note["searches"]
    answers = [1000 * (one["open"]["wall"] + one["answer"]["wall"]) for one in openings]
    return [
        number(least(one["cpu"] for one in builds)),
        number(least(one["wall"] for one in builds)),
        number(least(one["peak_mib"] for one in builds), 0),
        number(least(one["disk_mib"] for one in builds)),
        number(least(answers), 0),
        number(least(1000 * one["process"]["wall_seconds"] for one in openings), 0),
        number(least(1000 * one["process"]["cpu_seconds"] for one in openings), 0),
        number(least(one["memory"]["VmRSS"] for one in searches), 0),
    ]


def asked(group: Sequence[Note]) -> Table:
    """The cheapest setting tried that reached each target."""
    columns = [f"{group[0]['size']:,} vectors, one query at a time"]
    for target in TARGETS:
        columns += [f"≥ {target}: setting", "recall@10", "CPU ms (median)", "queries/s", "× retr"]
    ours = [own(group, target) for target in TARGETS]
    rows = []
    for note in group:
        cells = [name(note)]
        for target, best in zip(TARGETS, ours, strict=True):
            cells += asked_cells(note, target, best)
        rows.append(cells)
    return Table(columns, rows)


def own(group: Sequence[Note], target: float) -> dict[str, Any] | None:
    """Our cheapest default that reached the target."""
    found = [cheapest(note, target) for note in group if note["system"] in OURS]
    return min((one for one in found if one), key=lambda one: float(one["cpu_ms"]), default=None)


def asked_cells(note: Note, target: float, ours: dict[str, Any] | None) -> list[str]:
    """Least CPU of the repeats with their median, most queries a second; how many times our CPU that is."""
    best = cheapest(note, target)
    if best is None:
        reached = max((one["recall"] for search in note["searches"] for one in search["sweep"]), default=None)
        return ["not reached" if reached else "-", number(reached, 4), "-", "-", "-"]
    ratio = number(best["cpu_ms"] / ours["cpu_ms"]) if ours else "-"
    times = f"{number(best['cpu_ms'], 3)} ({number(best['cpu_median'], 3)})"
    return [shown(best["setting"]), number(best["recall"], 4), times, number(1000 / best["wall_ms"], 0), ratio]


def cheapest(note: Note, target: float) -> dict[str, Any] | None:
    """Of each repeat the cheapest setting that reached the target; of these the cheapest, and the median of all."""
    chosen = []
    for search in note["searches"]:
        good = [one for one in search["sweep"] if one["recall"] >= target]
        chosen += [min(good, key=lambda one: float(one["cpu_ms"]))] if good else []
    if not chosen:
        return None
    median = statistics.median(one["cpu_ms"] for one in chosen)
    return {**min(chosen, key=lambda one: float(one["cpu_ms"])), "cpu_median": median}


def filtered(group: Sequence[Note]) -> Table:
    """With the last setting of the sweep: the one that met the highest target, or the dearest."""
    shares = sorted({one["width"] for note in group for search in note["searches"] for one in search["filtered"]})
    columns = [f"{group[0]['size']:,} vectors, filtered"]
    for width in shares:
        columns += [f"{width / 100:.0f}% pass: recall@10", "too few rows", "CPU ms", "queries/s"]
    return Table(columns, [[name(note), *filtered_cells(note, shares)] for note in group])


def filtered_cells(note: Note, shares: Sequence[int]) -> list[str]:
    """Least recall and most short answers, but least CPU, of the repeats."""
    cells = []
    for width in shares:
        runs = [one for search in note["searches"] for one in search["filtered"] if one["width"] == width]
        short = [f"{max(one['short'] / one['queries'] for one in runs):.1%}" if runs else "-"]
        rate = 1000 / min(one["wall_ms"] for one in runs) if runs else None
        cells += [number(least(one["recall"] for one in runs), 4), *short]
        cells += [number(least(one["cpu_ms"] for one in runs), 3), number(rate, 0)]
    return cells


def name(note: Note) -> str:
    """With what went wrong, if something did."""
    return f"{note['system']} ({note['failed']})" if note["failed"] else str(note["system"])


def shown(setting: dict[str, int]) -> str:
    """`ef 64`."""
    return ", ".join(f"{key} {value}" for key, value in setting.items()) or "none to set"


def least(values: Any) -> float | None:
    """The smallest, or None when there is nothing."""
    return min(values, default=None)


def caption(found: Sequence[Note], vectors: dict[str, Any]) -> str:
    """One sentence that says where the numbers come from."""
    runs = [one for note in found for part in ("builds", "openings", "searches") for one in note[part]]
    loads = [one["load"] for one in runs] or [0.0]
    days = sorted({note["when"][:10] for note in found})
    counts = sorted({len(note["searches"]) for note in found if not note["failed"]})
    return (
        f"Distinct real sentences encoded by {vectors['encoder']['name']} ({vectors['encoder']['runtime']}); "
        f"queries: {vectors['real_queries']} real ones and {vectors['held_out_sentences']} sentences kept out; "
        f"least of {' to '.join(map(str, counts)) or 'no'} repeats; measured {' to '.join(days[:1] + days[1:][-1:])}; "
        f"load at the start of a process {min(loads)} to {max(loads)}, median {statistics.median(loads)}."
    )
