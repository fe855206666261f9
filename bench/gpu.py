"""The same vectors searched on the CPU and on each way of using a GPU: flat, lists (IVF) and the CAGRA graph.

    python bench/gpu.py --vectors FILE.npy --queries FILE.npy [--rows 1000000] [--recalls 0.95 0.99]

Each kind is built once on the CPU, calibrated for each recall, and searched on the CPU and on the GPU with the same
calibration. Recall is measured against an exact search. Without --vectors, random vectors around random centres, whose
recall says little about real ones. Needs a FAISS with GPU support and a GPU; says what is missing otherwise, and
records nothing.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import recording
from numpy.typing import NDArray
from tables import Table, number

from retr.index.dense.calibration import calibrate
from retr.index.dense.gpu import Device, gpus_here, obstacle
from retr.index.dense.gpu.memory import device_memory
from retr.index.dense.index import DenseIndex
from retr.index.dense.parts import DensePart, write_part
from retr.index.dense.settings import DenseSettings, Kind
from retr.index.disk.fsio import Disk
from retr.retrieval.embeddings import Vectors

K = 10
KINDS: tuple[Kind, ...] = ("flat", "ivf-flat", "ivf-sq8", "ivf-pq")
SHARES = (0.5, 0.1, 0.01)
COLUMNS = [
    "kind",
    "asked recall",
    "searched on",
    "building, s",
    "moving, s",
    "GPU, MB",
    f"recall@{K}",
    "1 query, ms",
    "batch, queries/s",
    *(f"{share:.0%} filter, queries/s" for share in SHARES),
]


@dataclass(frozen=True, slots=True)
class Case:
    """One part as it is calibrated for one recall, on one device."""

    part: DensePart
    kind: str
    recall: float
    building: float
    device: Device


def main() -> None:
    """Measure, print, record."""
    args = arguments()
    reason = obstacle(Device((0,)))
    if reason:
        sys.exit(f"Nothing to measure: {reason}.")
    values, queries = vectors(args)
    with tempfile.TemporaryDirectory() as folder:
        cells = list(measured(Path(folder), values, queries, args))
    table = Table(COLUMNS, cells)
    print(table.markdown())
    result = {
        "args": recording.plain(vars(args)),
        "machine": recording.machine() | {"gpus": gpu_names()},
        "versions": recording.versions(sys.executable, [*recording.retr_packages(), "faiss-gpu", "faiss-gpu-cuvs"]),
        "shape": [*values.shape, len(queries)],
        "tables": [table.json()],
    }
    print(recording.record("gpu", result, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help="float32 [rows, dim]")
    parser.add_argument("--queries", type=Path, help="float32 [queries, dim]")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--recalls", nargs="+", type=float, default=[0.95, 0.99])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    return parser.parse_args()


def vectors(args: argparse.Namespace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors to search and queries: the user's, or 1,000 queries and rows around the same 1,000 random centres."""
    if args.vectors is not None and args.queries is not None:
        return np.load(args.vectors)[: args.rows], np.load(args.queries)
    random = np.random.default_rng(args.seed)
    values = random.standard_normal((args.rows + 1000, args.dim), np.float32)
    values += random.standard_normal((1000, args.dim), np.float32)[random.integers(0, 1000, len(values))]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values[: args.rows], values[args.rows :]


def measured(
    folder: Path, values: NDArray[np.float32], queries: NDArray[np.float32], args: argparse.Namespace
) -> Iterator[list[str]]:
    """A row a kind, a recall and a device, printed as it comes."""
    truth: NDArray[Any] | None = None
    for kind in args.kinds:
        for case in cases(folder / kind, values, kind, args):
            if truth is None:
                truth = case.part.search(np.ascontiguousarray(queries), K, exact=True).rows
            cells = row(case, queries, truth, args)
            print(" | ".join(cells), file=sys.stderr, flush=True)
            yield cells


def cases(folder: Path, values: NDArray[np.float32], kind: Kind, args: argparse.Namespace) -> Iterator[Case]:
    """The part of a kind, built once, for each recall on the CPU and on each GPU device that can search it."""
    folder.mkdir()
    started = time.perf_counter()
    settings = DenseSettings(kind=kind, recall=args.recalls[0])
    _, facts = write_part(Disk(), folder, [values], values.shape[1], settings, seed=args.seed)
    building = time.perf_counter() - started
    for recall in args.recalls if facts["kind"] != "flat" else [1.0]:
        part = DensePart.open(folder, len(values), values.shape[1], facts)
        if facts["kind"] != "flat":
            goal = DenseSettings(kind=kind, recall=recall)
            found = calibrate(part.stored, part.ann(), kind, goal, seed=args.seed)
            part = DensePart.open(folder, *values.shape, facts | found.facts(graph=False))
        for device in devices(kind):
            yield Case(part, facts["kind"], recall, building, device)


def devices(kind: str) -> list[Device]:
    """The CPU, one GPU, several where there are; and for plain vectors the graph, where FAISS has it."""
    found = [Device(), Device((0,))]
    if gpus_here() > 1:
        every = tuple(range(gpus_here()))
        found += [Device(every), Device(every, spread="replicate")]
    graph = Device((0,), "cagra")
    return [*found, graph] if kind == "flat" and not obstacle(graph) else found


def row(case: Case, queries: NDArray[np.float32], truth: NDArray[Any], args: argparse.Namespace) -> list[str]:
    """One line of the table; what could not be moved has its reason and no times."""
    before = used_bytes(case.device)
    started = time.perf_counter()
    index = DenseIndex(case.part.dim, [case.part], case.device)
    moving = time.perf_counter() - started
    where = index.placement[0] + (f" ({case.device.spread})" if len(case.device.gpus) > 1 else "")
    head = [case.kind, number(case.recall, 2), where, number(case.building)]
    if where.startswith("CPU: "):
        return [*head, *["-"] * (len(COLUMNS) - len(head))]
    found = index.search(Vectors(queries), K).rows  # The first search also sets aside the scratch memory.
    taken = (used_bytes(case.device) - before) / 1e6
    shared = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, truth, strict=True)]))
    one = best(args.repeats, lambda: index.search(Vectors(queries[:1]), K))
    rates = [len(queries) / best(args.repeats, lambda: index.search(Vectors(queries), K))]
    for share in SHARES:
        allowed = np.random.default_rng(args.seed).random(len(case.part)) < share
        rates.append(len(queries) / best(args.repeats, lambda: index.search(Vectors(queries), K, allowed)))  # noqa: B023
    cells = [moving if case.device.gpus else None, taken if case.device.gpus else None]
    return [*head, *(number(cell) for cell in cells), number(shared, 4), number(one * 1000, 3), *map(number, rates)]


def best(repeats: int, work: Callable[[], Any]) -> float:
    """Wall seconds of the fastest of several runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def used_bytes(device: Device) -> int:
    """Memory in use on the device's GPUs, by whomever."""
    found = [device_memory(gpu) for gpu in device.gpus]
    return sum(total - free for free, total in (memory for memory in found if memory is not None))


def gpu_names() -> list[str]:
    """As the driver calls them."""
    try:
        command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []


if __name__ == "__main__":
    main()
