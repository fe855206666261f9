"""One measurement of one encoder, in a process of its own: `encode_probe.py JOB.json` writes JOB's result file.

    rate      texts of one kind, encoded as often as asked, after a warm-up
    corpus    all documents once, and all queries; the vectors are kept
    queries   one query after the other, each with its own wall and CPU time, after a warm-up
    first     imports, loading and one vector, counted from the start of the process
    try       rate over small samples and a few queries, to choose settings by

CPU is that of the process and of all its children. Memory is the most that was resident, summed over them.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from index_probe import cpu_seconds

Job = Mapping[str, Any]
WARM_TEXTS = 64  # of all lengths
WARM_QUERIES = 20


def main() -> None:
    """Do the job of the file on the command line."""
    entered = time.perf_counter()
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    result = first(job, entered) if job["action"] == "first" else ACTIONS[job["action"]](job)
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def made(job: Job) -> Any:
    """The system's adapter, loaded."""
    return importlib.import_module(f"encoding.{job['adapter']}").encoder(job["options"])


def read(job: Job, name: str) -> list[str]:
    """Texts that bench/encode.py prepared."""
    return list(json.loads((Path(job["inputs"]) / f"{name}.json").read_text(encoding="utf-8")))


def rate(job: Job) -> dict[str, Any]:
    """As many passes as asked for; each is one call with all texts."""
    texts = read(job, job["kind"])
    encoder = made(job)
    result = timed(encoder, texts, job["passes"])
    result |= {"peak_mib": peak_mib(), "runtime": encoder.runtime}
    encoder.close()
    return result


def timed(encoder: Any, texts: Sequence[str], passes: int) -> dict[str, Any]:
    """Wall and CPU seconds of each pass; the vectors must be as many as the texts, and numbers."""
    import numpy as np

    encoder.encode(texts[:: max(1, len(texts) // WARM_TEXTS)])
    found = []
    for _ in range(passes):
        wall, cpu = time.perf_counter(), cpu_seconds()
        vectors = encoder.encode(texts)
        found.append({"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu})
        if len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise ValueError(f"{len(vectors)} vectors of {len(texts)} texts, or numbers that are none")
    return {"texts": len(texts), "passes": found}


def corpus(job: Job) -> dict[str, Any]:
    """Documents and queries to vectors on disk, for quality and drift; the documents are timed too."""
    import numpy as np

    documents, queries = read(job, "documents"), read(job, "queries")
    encoder = made(job)
    wall, cpu = time.perf_counter(), cpu_seconds()
    found = encoder.encode(documents)
    spent = {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu, "peak_mib": peak_mib()}
    np.savez(job["vectors"], documents=found, queries=np.stack([encoder.query(query) for query in queries]))
    encoder.close()
    return {"texts": len(documents), "dim": int(found.shape[1]), "runtime": encoder.runtime, **spent}


def queries(job: Job) -> dict[str, Any]:
    """All queries but those of the warm-up; every one is asked once, so that no cache can answer."""
    encoder = made(job)
    result = asked(encoder, read(job, "queries"))
    encoder.close()
    return result


def asked(encoder: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Milliseconds of each query, median and 95th percentile; the mean CPU also has what threads spend in between."""
    for text in texts[:WARM_QUERIES]:
        encoder.query(text)
    walls, cpus = [], []
    before = time.process_time()
    for text in texts[WARM_QUERIES:]:
        wall, cpu = time.perf_counter(), time.process_time()
        encoder.query(text)
        cpus.append(1000 * (time.process_time() - cpu))
        walls.append(1000 * (time.perf_counter() - wall))
    mean = 1000 * (time.process_time() - before) / len(walls)
    return {"queries": len(walls), "cpu_mean": mean, **spread("wall", walls), **spread("cpu", cpus)}


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    ordered = sorted(values)
    return {f"{name}_median": ordered[len(ordered) // 2], f"{name}_p95": ordered[int(0.95 * len(ordered))]}


def first(job: Job, entered: float) -> dict[str, Any]:
    """Seconds from the moment in which the parent started this process; both read one clock."""
    encoder = made(job)
    loaded = time.perf_counter()
    vector = encoder.query(job["query"])
    wall, cpu = time.perf_counter() - job["started"], time.process_time()
    steps = {"start": entered - job["started"], "load": loaded - entered, "vector": wall + job["started"] - loaded}
    encoder.close()
    return {"wall": wall, "cpu": cpu, "steps": steps, "dim": len(vector), "peak_mib": peak_mib(children=False)}


def attempt(job: Job) -> dict[str, Any]:
    """The small samples of both kinds, and a few queries."""
    encoder = made(job)
    kinds = {name: timed(encoder, read(job, f"few-{name}"), job["passes"]) for name in ("passages", "sentences")}
    found = {**kinds, "queries": asked(encoder, read(job, "queries")[: WARM_QUERIES + 40])}
    encoder.close()
    return found


def peak_mib(*, children: bool = True) -> float:
    """The most that was resident, by Linux's VmHWM, of this process and of the children that it has now."""
    names = ["self"]
    if children:
        import psutil

        names += [str(child.pid) for child in psutil.Process().children(recursive=True)]
    lines = [line for name in names for line in Path("/proc", name, "status").read_text().splitlines()]
    return round(sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024, 1)


ACTIONS: Mapping[str, Callable[[Job], dict[str, Any]]] = {
    "rate": rate,
    "corpus": corpus,
    "queries": queries,
    "try": attempt,
}

if __name__ == "__main__":
    main()
