"""What every engine of bench/late.py is given and says: token vectors from files, queries one by one, one JSON line.

    python ENGINE.py {"tokens": folder, "documents": 14581, "index": folder, "bits": 4, "queries": 200, "k": 10, …}

Nothing of retr is imported here, so that other systems can run in an environment of their own.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "RETR_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402 - the number of threads is read when it is imported
from numpy.typing import NDArray  # noqa: E402

Job = Mapping[str, Any]
Floats = NDArray[np.float32]
Search = Callable[[Floats], Sequence[int]]
WARM = 5


def blocks(job: Job) -> Iterator[tuple[Floats, NDArray[np.int64]]]:
    """The documents' tokens, some documents at a time: float32 [tokens, dim], and offsets [documents + 1]."""
    left = int(job["documents"])
    for path in sorted(Path(job["tokens"]).glob("0*.npz")):
        if not left:
            return
        with np.load(path) as held:
            ends = held["offsets"][: left + 1]
            yield held["values"][: ends[-1]].astype(np.float32), ends
        left -= len(ends) - 1


def documents(job: Job) -> list[Floats]:
    """Each document's tokens."""
    return [values[start:end] for values, ends in blocks(job) for start, end in pairwise(ends)]


def queries(job: Job) -> list[Floats]:
    """Each query's tokens."""
    with np.load(Path(job["tokens"]) / "queries.npz") as held:
        values, ends = held["values"].astype(np.float32), held["offsets"]
    return [values[start:end] for start, end in pairwise(ends)][: int(job["queries"])]


def searched(job: Job, search: Search) -> dict[str, Any]:
    """The best documents of each query, and what a query takes: CPU time of the whole process, and wall time."""
    asked, rows, walls = queries(job), [], []
    for query in asked[:WARM]:
        search(query)
    spent = time.process_time()
    for query in asked:
        started = time.perf_counter()
        rows.append([int(row) for row in search(query)])
        walls.append(time.perf_counter() - started)
    spent = time.process_time() - spent
    return {
        "cpu_ms": 1000 * spent / len(asked),
        "wall_p50_ms": 1000 * float(np.percentile(walls, 50)),
        "wall_p95_ms": 1000 * float(np.percentile(walls, 95)),
        "rows": rows,
    }


class Built:
    """What building takes, from entering to leaving: CPU and wall seconds; nothing where nothing was built."""

    def __init__(self) -> None:
        self.told: dict[str, float] = {}

    def __enter__(self) -> "Built":
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.told = {"build_cpu_s": time.process_time() - self._cpu, "build_s": time.perf_counter() - self._wall}


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(run: Callable[[Job], Mapping[str, Any]]) -> None:
    """Do the job of the command line, and print what was found."""
    found = run(json.loads(sys.argv[1]))
    print(json.dumps(found))
