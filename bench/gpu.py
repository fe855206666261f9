"""The same vectors searched on the CPU and on each way of using a GPU: time, queries a second, agreement.

    python bench/gpu.py [--vectors FILE.npy --queries FILE.npy] [--rows 1000000]

Needs a FAISS with GPU support and a GPU; says what is missing otherwise, and records nothing.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import recording
from numpy.typing import NDArray
from tables import Table, number

from retr.index.dense.gpu import Device, gpus_here, obstacle
from retr.index.dense.index import DenseIndex
from retr.index.dense.parts import DensePart, write_part
from retr.index.dense.settings import DenseSettings
from retr.index.disk.fsio import Disk
from retr.retrieval.embeddings import Vectors

K = 10


def main() -> None:
    """Measure, print, record."""
    args = arguments()
    reason = obstacle(Device((0,)))
    if reason:
        sys.exit(f"Nothing to measure: {reason}.")
    values, queries = vectors(args)
    devices = {"CPU": Device(), "GPU, flat": Device((0,))}
    if not obstacle(Device((0,), "cagra")):
        devices["GPU, CAGRA"] = Device((0,), "cagra")
    if gpus_here() > 1:
        everything = tuple(range(gpus_here()))
        devices |= {
            "all GPUs, shards": Device(everything),
            "all GPUs, replicas": Device(everything, spread="replicate"),
        }
    with tempfile.TemporaryDirectory() as folder:
        _, facts = write_part(Disk(), Path(folder), [values], values.shape[1], DenseSettings(kind="flat"))
        part = DensePart.open(Path(folder), len(values), values.shape[1], facts)
        rows = measured(part, queries, devices, args.repeats)
    columns = [
        "searched on",
        "moving, s",
        "1 query, ms",
        f"{len(queries)} queries, queries/s",
        "1% filter, ms",
        f"same top {K}",
    ]
    table = Table(columns, rows)
    print(table.markdown())
    result = {
        "args": recording.plain(vars(args)),
        "machine": recording.machine() | {"gpus": gpu_names()},
        "versions": recording.versions(sys.executable, [*recording.retr_packages(), "faiss-gpu", "faiss-gpu-cuvs"]),
        "shape": list(values.shape),
        "tables": [table.json()],
    }
    print(recording.record("gpu", result, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=Path, help="float32 [rows, dim]; random unit vectors without it")
    parser.add_argument("--queries", type=Path, help="float32 [queries, dim]")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    return parser.parse_args()


def vectors(args: argparse.Namespace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors to search and queries: the user's, or random ones, which say nothing of recall but all of speed."""
    if args.vectors is not None and args.queries is not None:
        return np.load(args.vectors)[: args.rows], np.load(args.queries)
    random = np.random.default_rng(args.seed)
    values = random.standard_normal((args.rows + 1000, args.dim), np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values[: args.rows], values[args.rows :]


def measured(
    part: DensePart, queries: NDArray[np.float32], devices: dict[str, Device], repeats: int
) -> list[list[str]]:
    """A row a device; agreement is with the CPU's exact hits."""
    truth: NDArray[Any] | None = None
    rare = np.zeros(len(part), np.bool_)
    rare[::100] = True
    rows = []
    for name, device in devices.items():
        started = time.perf_counter()
        index = DenseIndex(part.dim, [part], device)
        moving = time.perf_counter() - started
        if index.placement[0].startswith("CPU: "):
            rows.append([name, index.placement[0], *["-"] * 4])
            continue
        found = index.search(Vectors(queries), K).rows
        truth = found if truth is None else truth
        one = best(repeats, lambda index=index: index.search(Vectors(queries[:1]), K))
        many = best(repeats, lambda index=index: index.search(Vectors(queries), K))
        filtered = best(repeats, lambda index=index: index.search(Vectors(queries[:1]), K, rare))
        shared = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, truth, strict=True)]))
        cells = [moving, one * 1000, len(queries) / many, filtered * 1000]
        rows.append([name, *(number(cell, 3) for cell in cells), number(shared, 4)])
    return rows


def best(repeats: int, work: Any) -> float:
    """Wall seconds of the fastest of several runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def gpu_names() -> list[str]:
    """As the driver calls them."""
    try:
        command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []


if __name__ == "__main__":
    main()
