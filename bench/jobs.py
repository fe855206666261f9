"""What does encoding by Ray's workers bring beside encoding in one process, and what does it cost?

    RETR_DATA=… python bench/jobs.py [--texts 20000 --repeats 2]

The same sentences through `retr encode`, `--on local` and `--on ray` with workers of several sizes, and through the
pipeline of Ray Data in bench/jobs_ray_data.py with as many, each in a new folder, in turn. CPU seconds are those of the
command and of all that it started, Ray's own processes among them, looked at five times a second. *First shard* is the
time until a file of vectors is there: what starting takes. All folders of `retr encode` are compared byte for byte, and
Ray Data's vectors number by number.
"""

import argparse
import filecmp
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import index_vectors
import numpy as np
import recording
from jobs_ray_data import vectors_of
from systems import absolute
from tables import Table, number

EVERY_SECONDS = 0.2
LOCAL, RAY_DATA = "--on local", "Ray Data"
FIRST = ("shards/*.npy", "*.parquet")


def main() -> None:
    """Measure, print and record."""
    args = arguments()
    cores = len(os.sched_getaffinity(0))
    ways = {LOCAL: ["--on", "local"]}
    for workers in sorted({1, cores}):
        each = max(1, cores // workers)
        asked = ["--workers", f"{workers}", "--worker-cpus", f"{each}"]
        ways[f"--on ray, {workers} × {each} cores"] = ["--on", "ray", *asked]
        ways[f"{RAY_DATA}, {workers} × {each} cores"] = asked
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    with TemporaryDirectory(prefix="retr-jobs-") as name:
        place = Path(name)
        write_texts(place / "texts.txt", args.texts, args.seed)
        for repeat in range(args.repeats):
            for at, (way, options) in enumerate(ways.items()):
                out = place / f"{repeat}-{at}"
                runs[way].append(measured(command(way, place / "texts.txt", out, options, args.shard_texts), out))
                print(way, runs[way][-1], flush=True)
                equal = same_vectors if way.startswith(RAY_DATA) else same
                if not equal(out, place / "0-0"):
                    raise SystemExit(f"{way} wrote something else than {LOCAL}.")
    table = Table(
        [f"{args.texts:,} sentences", "wall s", "texts/s", "first shard s", "CPU s", "texts/CPU s", "largest MiB"],
        [[way, *cells(found, args.texts)] for way, found in runs.items()],
    )
    machine = recording.machine()
    print(table.markdown())
    result: Mapping[str, Any] = {
        "args": recording.plain(vars(args)),
        "machine": machine,
        "versions": {"retr": recording.versions(sys.executable, [*recording.retr_packages(), "ray"])},
        "measured": runs,
        "tables": [table.json()],
        "caption": caption(args, runs, machine),
    }
    print(recording.record(args.name, result, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--shard-texts", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    parser.add_argument("--name", default="jobs", help="name of the result")
    return parser.parse_args()


def write_texts(path: Path, count: int, seed: int) -> None:
    """Distinct sentences, one a line."""
    root = index_vectors.data_folder()
    texts = index_vectors.in_order(index_vectors.sentences_of(root, "textcorpus"), seed)[:count]
    if len(texts) < count:
        raise SystemExit(f"{count:,} texts were asked for; the corpus has {len(texts):,}.")
    path.write_text("".join(f"{text.text}\n" for text in texts), encoding="utf-8")


def command(way: str, texts: Path, out: Path, options: Sequence[str], shard_texts: int) -> list[str]:
    """What is run for a way."""
    if way.startswith(RAY_DATA):
        script = str(Path(__file__).with_name("jobs_ray_data.py"))
        return [sys.executable, script, str(texts), str(out), "--batch", str(shard_texts), *options]
    encode = [sys.executable, "-m", "retr", "encode", str(texts), "--lines", "--out", str(out), "--json", "--quiet"]
    return [*encode, "--shard-texts", str(shard_texts), *options]


def measured(run: Sequence[str], out: Path) -> dict[str, float]:
    """One run in a new folder."""
    import psutil

    source = os.pathsep.join(filter(None, [str(recording.ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    load, started = os.getloadavg()[0], time.perf_counter()
    process = subprocess.Popen(
        run, env={**os.environ, "PYTHONPATH": source}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    spent: dict[int, float] = {}
    first, largest = 0.0, 0.0
    while process.poll() is None:
        resident = 0.0
        for one in family(psutil.Process(process.pid)):
            try:
                times = one.cpu_times()
                spent[one.pid] = times.user + times.system
                resident += one.memory_info().rss / 2**20
            except psutil.Error:
                continue
        largest = max(largest, resident)
        first = first or (time.perf_counter() - started if any(map(list, map(out.glob, FIRST))) else 0.0)
        time.sleep(EVERY_SECONDS)
    wall = time.perf_counter() - started
    out_text, errors = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(run)} ended with exit code {process.returncode}: {errors[-2000:]}")
    said = json.loads(out_text)
    assert said["texts"] == said["encoded"]
    return {"wall": wall, "cpu": sum(spent.values()), "first": first, "mib": largest, "load": round(load, 2)}


def family(process: Any) -> list[Any]:
    """A process with all that it started."""
    import psutil

    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same bytes."""
    names = [
        sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) for root in (one, other)
    ]
    return names[0] == names[1] and not any(filecmp.cmpfiles(one, other, names[0], shallow=False)[1:])


def same_vectors(parquet: Path, folder: Path) -> bool:
    """Whether Ray Data's files hold a folder's texts, in any order, each with the same numbers."""
    from retr.encoders.bulk import open_vectors

    texts, vectors = vectors_of(parquet)
    theirs = dict(zip(texts, vectors, strict=True))
    lines = (folder.parent / "texts.txt").read_text(encoding="utf-8").splitlines()
    ours = np.concatenate([block.values for block in open_vectors(folder).blocks()])
    return len(texts) == len(lines) and all(map(np.array_equal, ours, map(theirs.__getitem__, lines)))


def cells(found: Sequence[Mapping[str, float]], texts: int) -> list[str]:
    """Least of the repeats."""
    wall, cpu = (min(one[name] for one in found) for name in ("wall", "cpu"))
    first, mib = (min(one[name] for one in found) for name in ("first", "mib"))
    return [number(wall), number(texts / wall, 0), number(first), number(cpu), number(texts / cpu, 0), number(mib, 0)]


def caption(args: argparse.Namespace, runs: Mapping[str, Sequence[Mapping[str, float]]], machine: Any) -> str:
    """How it was measured."""
    loads = [one["load"] for found in runs.values() for one in found]
    times = "one run" if args.repeats == 1 else f"least of {args.repeats} runs"
    return (
        f"Sentences of a public corpus through the default model, shards of about {args.shard_texts} texts; {times} "
        "each; all folders of `retr encode` equal byte for byte, and Ray Data's vectors to the last bit. "
        f"{machine['cpu']}, {machine['cores']} cores: Ray has no core here that one process does not use. Load at the "
        f"start of a run {min(loads)} to {max(loads)}"
        + (": times by the clock are of a machine with other work." if max(loads) > machine["cores"] else ".")
    )


if __name__ == "__main__":
    main()
