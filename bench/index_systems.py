"""The systems of bench/index.py, and how one of their processes is run: with a limit on its time."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from peers.protocol import QUIET
from recording import ROOT


class Failed(Exception):
    """A process that did not end well or in time. It stands in the table: a peer's failure is a result."""


@dataclass(frozen=True, slots=True)
class System:
    """One row. `most`: larger sizes are not tried; `imports`: what a script over this store imports, timed apart."""

    name: str
    store: str
    imports: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = False
    most: int = 10_000_000


RETR: Mapping[str, Mapping[str, Any]] = {
    "retr": {},
    "retr, recall 0.95": {"dense": {"recall": 0.95}},
    "retr, compacted": {"compact": True},
    "retr, compacted, recall 0.95": {"dense": {"recall": 0.95}, "compact": True},
    "retr, flat": {"dense": {"kind": "flat"}, "compact": True},
    "retr, flat float16": {"dense": {"kind": "flat", "storage": "float16"}, "compact": True},
    "retr, pq float16": {"dense": {"kind": "pq", "storage": "float16"}, "compact": True},
    "retr, ivf-flat": {"dense": {"kind": "ivf-flat"}, "compact": True},
    "retr, ivf-sq8": {"dense": {"kind": "ivf-sq8"}, "compact": True},
    "retr, ivf-pq": {"dense": {"kind": "ivf-pq"}, "compact": True},
    "retr, hnsw": {"dense": {"kind": "hnsw"}, "compact": True},
    "retr, rabitq": {"dense": {"kind": "rabitq"}, "compact": True},
}
"""Options of stores/retr_store.py by the row's name; the first row is what a user gets who chooses nothing."""


def all_systems() -> list[System]:
    """The rows, in the table's order."""
    ours = [System(name, "retr_store", ["retr"], options, ours=True) for name, options in RETR.items()]
    peers = [
        System("FAISS by hand, exact", "faiss_store", ["faiss"], {"factory": "Flat"}),
        System("FAISS by hand, PQ + refine", "faiss_store", ["faiss"], {"factory": "PQ96x4fs,RFlat"}),
        System("hnswlib", "hnswlib_store", ["hnswlib"]),
        System("usearch", "usearch_store", ["usearch.index"]),
        System("Chroma", "chroma_store", ["chromadb"]),
        System("LanceDB, IVF_PQ", "lancedb_store", ["lancedb", "pyarrow"], {"index": "IVF_PQ"}),
        System("LanceDB, IVF_HNSW_SQ", "lancedb_store", ["lancedb", "pyarrow"], {"index": "IVF_HNSW_SQ"}),
        System("zvec", "zvec_store", ["zvec"]),
        System("Milvus Lite", "milvus_store", ["pymilvus", "milvus_lite"]),
        System("Qdrant, local mode", "qdrant_store", ["qdrant_client"]),
    ]
    return [*ours, *peers]


def limited(command: Sequence[str], cwd: Path, seconds: float, *, ours: bool) -> dict[str, float]:
    """Run it; wall and CPU seconds of the whole process. After `seconds` it is killed with all that it started."""
    with TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=environment(ours),
            start_new_session=True,
        )
        late = threading.Event()
        timer = threading.Timer(seconds, lambda: (late.set(), os.killpg(process.pid, signal.SIGKILL)))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    if late.is_set():
        raise Failed(f"not finished in {seconds:.0f} s")
    if process.returncode != 0:
        print(text[-3000:], flush=True)
        ending = (text.strip().splitlines() or ["nothing printed"])[-1]
        raise Failed(f"exit code {process.returncode}, {ending.split(':')[0][:80]}")
    return {"wall_seconds": wall, "cpu_seconds": usage.ru_utime + usage.ru_stime}


def environment(ours: bool) -> dict[str, str]:
    """Bench's own modules for all, this checkout's retr for ours, no telemetry."""
    folders = [str(ROOT / "bench"), *([str(ROOT / "src")] if ours else []), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
