"""What bench/encode.py measured, as tables: two kinds of texts, one query and the start, the corpus, the peaks."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from encode_quality import METRIC, Quality, qualities
from encode_systems import BASELINE, BEST
from tables import Table, number

KINDS = {"passages": "documents", "sentences": "queries"}
"""Kind of texts, and where the cosines of texts of that length come from."""
Note = dict[str, Any]
"""One system: its tries, rates, queries, starts, its corpus, or how it failed."""


def result(notes: Sequence[Note], about: Mapping[str, Any], work: Path, skipped: Mapping[str, str]) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    vectors = {note["system"]: work / slug(note["system"]) / "vectors.npz" for note in notes if note["corpus"]}
    quality = qualities(vectors, work / "inputs", BASELINE)
    path = work / "measured" / "peaks.json"
    peaks = highest(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    made = [
        *(rates(notes, kind, about, quality) for kind in KINDS),
        alone(notes),
        corpus(notes, quality),
        shares(notes, about, peaks),
        products(peaks),
        settings(notes),
    ]
    return {
        "texts": dict(about),
        "measured": list(notes),
        "quality": quality,
        "peaks": peaks,
        "left_out": dict(skipped),
        "tables": [table.json() for table in made if table.rows],
        "caption": caption(notes, about, skipped),
    }


def rates(notes: Sequence[Note], kind: str, about: Mapping[str, Any], quality: Mapping[str, Quality]) -> Table:
    """Best (median) of all passes; cosines and nDCG@10 are those of the corpus, beside the speed."""
    size = about.get(kind, {"texts": 0, "tokens": 0})
    title = f"{size['texts']:,} {kind}, {size['tokens'] / max(1, size['texts']):.0f} tokens"
    columns = [title, "texts/s", "tokens/s", "× ST", "× ST's best"]
    columns += ["texts/CPU s", "× ST", "× ST's best"]
    columns += [f"cosine, {KINDS[kind]}: mean", "worst", "nDCG@10", "− ST"]
    least = {note["system"]: fastest(note, kind) for note in notes}
    rows = []
    for note in notes:
        own, cells = least[note["system"]], [name(note)]
        for clock in ("wall", "cpu"):
            rate = {which: size["texts"] / seconds for which, seconds in own[clock].items()} if own else {}
            cells += [f"{number(rate['best'])} ({number(rate['median'])})" if own else "-"]
            if clock == "wall":
                cells += [number(size["tokens"] / own["wall"]["best"], 0) if own else "-"]
            cells += [ratio(least, base, own, clock) for base in (BASELINE, BEST)]
        rows.append([*cells, *quality_cells(quality.get(note["system"]), KINDS[kind])])
    return Table(columns, rows)


def fastest(note: Note, kind: str) -> dict[str, dict[str, float]]:
    """Seconds for all texts by wall and by CPU, best and median pass; empty where nothing was measured."""
    passes = [one for run in note[kind] for one in run["passes"]]
    return {clock: best_and_median(one[clock] for one in passes) for clock in ("wall", "cpu")} if passes else {}


def best_and_median(values: Any) -> dict[str, float]:
    """Least and median."""
    found = list(values)
    return {"best": min(found), "median": statistics.median(found)}


def ratio(least: Mapping[str, Any], base: str, own: Mapping[str, Any], clock: str) -> str:
    """How many times faster than the base, best against best."""
    other = least.get(base)
    return number(other[clock]["best"] / own[clock]["best"], 2) if other and own else "-"


def quality_cells(quality: Quality | None, kind: str) -> list[str]:
    """Cosine mean and worst, nDCG@10 and its difference."""
    found = (quality or {}).get("cosine", {}).get(kind) or {}
    cells = [f"{found[which]:.5f}" if found else "-" for which in ("mean", "worst")]
    minus = (quality or {}).get("minus")
    return [*cells, number((quality or {}).get(METRIC), 4), f"{minus[0]:+.4f}" if minus else "-"]


def alone(notes: Sequence[Note]) -> Table:
    """One warm query, and a new process up to its first vector."""
    columns = ["one query", "CPU ms, median", "95%", "× less", "wall ms, median", "95%"]
    columns += ["start to first vector: wall s", "× less", "CPU s", "× less", "MiB"]
    base = next((note for note in notes if note["system"] == BASELINE), None)
    return Table(columns, [[name(note), *query_cells(note, base), *start_cells(note, base)] for note in notes])


def query_cells(note: Note, base: Note | None) -> list[str]:
    """The least of all repeats."""
    found = {key: least(note["queries"], key) for key in ("cpu_median", "cpu_p95", "wall_median", "wall_p95")}
    other = least(base["queries"], "cpu_median") if base else None
    return [
        number(found["cpu_median"], 2),
        number(found["cpu_p95"], 2),
        number(other / found["cpu_median"]) if other and found["cpu_median"] else "-",
        number(found["wall_median"], 2),
        number(found["wall_p95"], 2),
    ]


def start_cells(note: Note, base: Note | None) -> list[str]:
    """Best (median) of all openings."""
    cells = []
    for clock in ("wall", "cpu"):
        own, other = least(note["first"], clock), least(base["first"], clock) if base else None
        middle = statistics.median(one[clock] for one in note["first"]) if note["first"] else None
        cells += [f"{number(own, 2)} ({number(middle, 2)})" if own else "-"]
        cells += [number(other / own) if own and other else "-"]
    return [*cells, number(least(note["first"], "peak_mib"), 0)]


def least(runs: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """The smallest, or None when there is nothing."""
    return min((float(run[key]) for run in runs), default=None)


def corpus(notes: Sequence[Note], quality: Mapping[str, Quality]) -> Table:
    """SciFact whole, once."""
    columns = ["SciFact, whole", "runs on", "wall s", "CPU s", "texts/s", "MiB", "nDCG@10", "− ST [95%]"]
    columns += ["cosine, documents: mean", "worst", "queries: mean", "worst"]
    rows = []
    for note in notes:
        one, found = note["corpus"], quality.get(note["system"], {})
        if one:
            minus = found.get("minus")
            interval = f"{minus[0]:+.4f} [{minus[1]:+.4f}, {minus[2]:+.4f}]" if minus else "-"
            cells = [one["runtime"], number(one["wall"]), number(one["cpu"]), number(one["texts"] / one["wall"])]
            cosines = [cell for kind in KINDS.values() for cell in quality_cells(found, kind)[:2]]
            rows.append([name(note), *cells, number(one["peak_mib"], 0), number(found[METRIC], 4), interval, *cosines])
    return Table(columns, rows)


def shares(notes: Sequence[Note], about: Mapping[str, Any], peaks: Mapping[str, Any]) -> Table:
    """Model GFLOP per CPU second, and which part of the best matrix product of that precision this is."""
    columns = ["share of the matrix peak", "precision", "peak, GFLOP/CPU s"]
    for kind in KINDS:
        columns += [f"{kind}: GFLOP/CPU s", "share"]
    rows = []
    for note in notes:
        peak = max((max(found.values()) for found in peaks.get(note["precision"], {}).values()), default=None)
        cells = []
        for kind in KINDS:
            own = fastest(note, kind)
            reached = about[kind]["gflop"] / own["cpu"]["best"] if own else None
            cells += [number(reached, 0), f"{reached / peak:.0%}" if reached and peak else "-"]
        if peak:
            rows.append([name(note), note["precision"], number(peak, 0), *cells])
    return Table(columns, rows)


def highest(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """The best of all repeats of each product."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for run in runs:
        for precision, titles in run.items():
            for title, values in titles.items():
                own = found.setdefault(precision, {}).setdefault(title, {})
                own.update({shape: max(value, own.get(shape, 0.0)) for shape, value in values.items()})
    return found


def products(peaks: Mapping[str, Any]) -> Table:
    """The matrix products themselves."""
    shapes = list(dict.fromkeys(shape for titles in peaks.values() for found in titles.values() for shape in found))
    rows = [
        [f"{precision}, {title}", *(number(found.get(shape), 0) for shape in shapes)]
        for precision, titles in peaks.items()
        for title, found in titles.items()
    ]
    return Table(["one core, GFLOP/CPU s", *shapes], rows)


def settings(notes: Sequence[Note]) -> Table:
    """Which of the settings tried was best for what."""
    kinds = (*KINDS, "queries")
    rows = [
        [note["system"], str(len(note["try"])), *(text(best_choice(note, kind)) for kind in kinds)]
        for note in notes
        if note["try"]
    ]
    return Table(["settings", "tried", *(f"best for {kind}" for kind in kinds)], rows)


def best_choice(note: Note, kind: str) -> dict[str, Any]:
    """The setting with the least wall time for this kind; none where nothing was tried."""
    clocks: dict[str, Callable[[Any], float]] = {
        "queries": lambda found: float(found["wall_median"]),
        "passages": lambda found: min(one["wall"] for one in found["passes"]),
    }
    clock = clocks.get(kind, clocks["passages"])
    good = [one for one in note["try"] if kind in one]
    return dict(min(good, key=lambda one: clock(one[kind]))["choice"]) if good else {}


def text(choice: Mapping[str, Any]) -> str:
    """`batch 32, threads 1`."""
    return ", ".join(f"{key} {value}" for key, value in choice.items() if value is not False) or "defaults"


def brief(found: Mapping[str, Any]) -> str:
    """One line, so that a long run can be watched."""
    if "failed" in found:
        return str(found["failed"])
    if "passes" in found:
        return ", ".join("{wall:.2f} s ({cpu:.2f} CPU s)".format(**one) for one in found["passes"])
    if "cpu_median" in found:
        return "{cpu_median:.2f} CPU ms, {wall_median:.2f} ms".format(**found)
    if "passages" in found:
        return "; ".join(brief(found[kind]) for kind in (*KINDS, "queries"))
    return "{wall:.2f} s ({cpu:.2f} CPU s)".format(**found)


def name(note: Note) -> str:
    """With what went wrong, if something did."""
    return f"{note['system']} ({note['failed']})" if note["failed"] else str(note["system"])


def slug(system: str) -> str:
    """A system's name as the name of a file."""
    return "".join(letter if letter.isalnum() else "-" for letter in system)


def caption(notes: Sequence[Note], about: Mapping[str, Any], skipped: Mapping[str, str]) -> str:
    """One sentence that says where the numbers come from."""
    loads = [run["load"] for note in notes for part in (*KINDS, "queries", "first") for run in note[part]] or [0.0]
    days = sorted({note["when"][:10] for note in notes})
    repeats = sorted({len(note["passages"]) for note in notes if not note["failed"]})
    left = f" Left out: {', '.join(f'{system} ({why})' for system, why in skipped.items())}." if skipped else ""
    sizes = ", ".join(f"{found['texts']:,} {kind}" for kind, found in about.items() if not kind.startswith("few"))
    return (
        f"all-MiniLM-L6-v2, texts of SciFact: {sizes}; "
        f"best (median) of {'/'.join(map(str, repeats))} processes a part; "
        f"measured {' to '.join(dict.fromkeys((*days[:1], *days[-1:])))}; "
        f"load at the start of a process {min(loads)} to {max(loads)}, median {statistics.median(loads)}.{left}"
    )
