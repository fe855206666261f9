"""retr's index beside other vector stores, on the same real vectors: build, size, memory, opening, queries, filters.

    python bench/index.py --peers-python …/bin/python [--systems retr hnswlib …] [--sizes 20000 100000]

Needs bench/index_vectors.py's files. Every measurement is a process of its own (bench/index_probe.py); the systems take
turns. What was measured lies in the work folder, one file a system and size, until it is measured again: so parts may
be run at different times, each with its own load and date, and the result holds all that is there.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import index_tables
import numpy as np
import recording
from index_systems import Failed, System, all_systems, limited
from measuring import folder_mib
from systems import absolute

PROBE = recording.ROOT / "bench" / "index_probe.py"
FAR = 10_000  # rows of the exact search done at once
WIDTHS = (100, 1000)  # of 10,000 buckets: 1% and 10%


def main() -> None:
    """Measure what was asked for, then print and record everything that has been measured."""
    args = arguments()
    chosen = [
        system for system in all_systems() if not args.systems or any(word in system.name for word in args.systems)
    ]
    if args.fresh:
        shutil.rmtree(args.work / "measured", ignore_errors=True)
    for size in args.sizes:
        systems = [system for system in chosen if size <= system.most]
        if systems and not args.collect:
            prepare(args, size)
            measure(args, size, systems)
    names = [system.name for system in all_systems()]
    found = [json.loads(path.read_text()) for path in (args.work / "measured").glob("*/*.json")]
    found.sort(key=lambda one: (one["size"], names.index(one["system"])))
    result = index_tables.result(found, vectors=json.loads((args.vectors / "about.json").read_text()))
    versions = {
        "retr": recording.versions(sys.executable, recording.retr_packages()),
        "peers": recording.versions(str(args.peers_python), recording.peer_packages()) if args.peers_python else {},
    }
    machine = recording.machine()
    print("\n\n".join(table.markdown() for table in index_tables.tables(found)))
    print(
        recording.record(
            args.name,
            {"args": recording.plain(vars(args)), "machine": machine, "versions": versions, **result},
            folder=args.results,
        )
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    scratch = recording.ROOT / "bench" / "scratch"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", type=absolute, help="interpreter with bench/peers/requirements.txt")
    parser.add_argument("--systems", nargs="*", help="systems whose name contains one of these words")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--openings", type=int, default=3, help="new processes a repeat that open and answer once")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20, help="most time for one setting of one store")
    parser.add_argument("--timeout", type=float, default=900, help="most time for one process")
    parser.add_argument("--core", type=int, default=1, help="the one core that answers queries")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--vectors", type=absolute, default=scratch / "vectors")
    parser.add_argument("--work", type=absolute, default=scratch / "index")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    parser.add_argument("--name", default="index", help="name of the result")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--collect", action="store_true", help="measure nothing, record what is there")
    return parser.parse_args()


def prepare(args: argparse.Namespace, size: int) -> None:
    """The rows of this size, the queries in one shuffled order, and the exact answers with and without filters."""
    import pyarrow.parquet as pq

    folder = args.work / str(size)
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(args.vectors.glob("*k.npy"), key=lambda path: path.stat().st_size)
    rows = np.load(sources[-1], mmap_mode="r")[:size] if sources else ()
    if len(rows) < size:
        raise SystemExit(
            f"{size:,} vectors were asked for; {args.vectors.name} holds fewer. Run index_vectors.py first."
        )
    every = np.load(args.vectors / "queries.npy")
    queries = every[np.random.default_rng(args.seed).permutation(len(every))[: args.queries]]
    buckets = pq.read_table(args.vectors / "meta.parquet", columns=["bucket"])["bucket"].to_numpy()[:size]
    exact = {"all": nearest(queries, rows, np.arange(size), args.k)}
    for width in WIDTHS:
        lows = np.random.default_rng(args.seed + width).integers(0, 10_000 - width, len(queries))
        exact[f"low_{width}"], exact[f"within_{width}"] = lows, np.full((len(queries), args.k), -1)
        for at, low in enumerate(lows):
            among = np.flatnonzero((buckets >= low) & (buckets < low + width))
            best = nearest(queries[at : at + 1], rows, among, args.k)[0]
            exact[f"within_{width}"][at, : len(best)] = best
    np.save(folder / "rows.npy", rows)
    np.save(folder / "queries.npy", queries)
    np.savez(folder / "truth.npz", **exact)


def nearest(queries: Any, rows: Any, among: Any, k: int) -> Any:
    """Exact rows by inner product, best first: int64 [queries, at most k]."""
    scores = np.concatenate(
        [queries @ rows[among[start : start + FAR]].T for start in range(0, len(among), FAR)], axis=1
    )
    best = np.argpartition(-scores, min(k, len(among)) - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
    return among[np.take_along_axis(best, order, 1)]


def measure(args: argparse.Namespace, size: int, systems: Sequence[System]) -> None:
    """All repeats of one size. A system that fails once is not asked again, and the failure is what is recorded."""
    notes: dict[str, dict[str, Any]] = {
        system.name: {"system": system.name, "size": size, "builds": [], "openings": [], "searches": [], "failed": None}
        for system in systems
    }
    for repeat in range(args.repeats):
        for action in ("build", *["open"] * args.openings, "search"):
            for system in systems:
                note = notes[system.name]
                if note["failed"] is None:
                    step(args, size, system, action, note)
                    print(f"{size:,}, repeat {repeat + 1}: {system.name}: {action}: {last(note, action)}", flush=True)
    for system in systems:
        shutil.rmtree(folder_of(args, size, system), ignore_errors=True)


def step(args: argparse.Namespace, size: int, system: System, action: str, note: dict[str, Any]) -> None:
    """One process; its result goes into the note, and the note to disk."""
    folder, base = folder_of(args, size, system), args.work / str(size)
    if action == "build":
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "store").mkdir(parents=True)
    job = {
        "action": action,
        "store": system.store,
        "options": dict(system.options),
        "imports": list(system.imports),
        "folder": str(folder / "store"),
        "vectors": str(base / "rows.npy"),
        "meta": str(args.vectors / "meta.parquet"),
        "queries": str(base / "queries.npy"),
        "truth": str(base / "truth.npz"),
        "targets": index_tables.TARGETS,
        "widths": WIDTHS,
        **{name: getattr(args, name) for name in ("k", "seconds", "core")},
        "result": str(folder / "result.json"),
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    python = sys.executable if system.ours else str(args.peers_python)
    load = round(os.getloadavg()[0], 2)
    try:
        cost = limited([python, str(PROBE), str(folder / "job.json")], folder, args.timeout, ours=system.ours)
        found = json.loads((folder / "result.json").read_text())
        found = {**found, "load": load, "process": cost}
        if action == "build":
            found.setdefault("disk_mib", folder_mib(folder / "store"))
        note[{"build": "builds", "open": "openings", "search": "searches"}[action]].append(found)
    except Failed as why:
        note["failed"] = f"{action}: {why}"
    note.update(when=f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}", **recording.commit())
    path = args.work / "measured" / str(size) / f"{folder.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(note, indent=1), encoding="utf-8")


def folder_of(args: argparse.Namespace, size: int, system: System) -> Path:
    """Scratch folder of a system."""
    return Path(args.work) / str(size) / "".join(letter if letter.isalnum() else "-" for letter in system.name)


def last(note: dict[str, Any], action: str) -> str:
    """One line, so that a long run can be watched."""
    if note["failed"]:
        return str(note["failed"])
    if action == "build":
        return "{wall:.1f} s, {cpu:.1f} CPU s, {disk_mib:.0f} MiB".format(**note["builds"][-1])
    if action == "open":
        return "{wall_seconds:.2f} s".format(**note["openings"][-1]["process"])
    best = note["searches"][-1]["sweep"][-1]
    return "{setting}: recall {recall:.4f}, {cpu_ms:.3f} CPU ms".format(**best)


if __name__ == "__main__":
    main()
