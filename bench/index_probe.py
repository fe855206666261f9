"""One measurement of one vector store, in a process of its own: `index_probe.py JOB.json` writes JOB's result file.

    build    fill an empty folder: wall, CPU, largest memory
    open     open it and answer once: imports apart from the rest
    search   open it, sweep its search parameters, then filter with the ones that were chosen; memory afterwards

CPU is that of the process and of all its children. `search` is held to one core before anything is imported.
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Job = Mapping[str, Any]
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "LANCE_CPU_THREADS")
MEBI = 1024 * 1024
WARM = 5  # untimed queries before each setting
FEWEST = 20  # queries asked of a store, however slow it is


@dataclass(frozen=True, slots=True)
class Asked:
    """Queries with the rows that exact search gives, best first; -1 where fewer than k pass a filter."""

    queries: Any
    truth: Any


def main() -> None:
    """Do the job of the file on the command line."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job["action"] == "search":
        one_core(job["core"])
    result = {"build": build, "open": first_answer, "search": search}[job["action"]](job)
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def one_core(core: int) -> None:
    """This process and its children to one core, and thread pools of one where an environment variable says so."""
    os.environ.update({name: "1" for name in ONE_THREAD})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def made(job: Job) -> Any:
    """The store's adapter."""
    return importlib.import_module(f"stores.{job['store']}").store(job["options"])


def build(job: Job) -> dict[str, Any]:
    """Everything from an empty folder to the last byte on disk; imports of the store's library are not counted."""
    import numpy as np
    import pyarrow.parquet as pq
    from stores.protocol import Rows

    for name in job["imports"]:
        importlib.import_module(name)
    vectors = np.load(job["vectors"])
    meta = pq.read_table(job["meta"], columns=["bucket", "set"]).slice(0, len(vectors))
    rows = Rows(vectors, meta["bucket"].to_numpy(), meta["set"].to_pylist())
    store, before = made(job), memory()
    wall, cpu = time.perf_counter(), cpu_seconds()
    store.build(Path(job["folder"]), rows)
    spent = {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}
    disk = {"disk_mib": store.disk_mib()} if hasattr(store, "disk_mib") else {}
    return {**spent, **disk, "peak_mib": memory()["VmHWM"], "before_mib": before["VmRSS"]}


def first_answer(job: Job) -> dict[str, Any]:
    """Imports, then open and one answer."""
    import numpy as np

    query = np.load(job["queries"])[0]
    clocks = [(time.perf_counter(), cpu_seconds())]
    for name in job["imports"]:
        importlib.import_module(name)
    clocks.append((time.perf_counter(), cpu_seconds()))
    store = made(job)
    store.open(Path(job["folder"]))
    clocks.append((time.perf_counter(), cpu_seconds()))
    store.nearest(query, job["k"])
    clocks.append((time.perf_counter(), cpu_seconds()))
    names = ("import", "open", "answer")
    spans = zip(names, clocks, clocks[1:], strict=False)
    return {name: {"wall": stop[0] - start[0], "cpu": stop[1] - start[1]} for name, start, stop in spans}


def search(job: Job) -> dict[str, Any]:
    """The sweep up to the last target, and filters with the parameters that met it (else with the dearest)."""
    import numpy as np

    queries, truth = np.load(job["queries"]), np.load(job["truth"])
    store = made(job)
    store.open(Path(job["folder"]))
    k, limit = job["k"], job["seconds"]
    plain = Asked(queries, truth["all"])
    tried: list[dict[str, Any]] = []
    for setting in store.sweep:
        store.tune(setting)
        found = ask(lambda at, query: store.nearest(query, k), store, plain, limit)
        tried.append({"setting": dict(setting), **found})
        if found["recall"] >= max(job["targets"]) or sum(one["wall"] for one in tried) > 10 * limit:
            break
    used = memory()
    filtered = []
    if store.filters:
        store.tune(tried[-1]["setting"])
        for width in job["widths"]:
            lows = truth[f"low_{width}"].tolist()
            asked = Asked(queries, truth[f"within_{width}"])
            found = ask(within(store, k, lows, width), store, asked, limit)
            filtered.append({"width": width, "setting": tried[-1]["setting"], **found})
    return {"sweep": tried, "filtered": filtered, "memory": used}


def within(store: Any, k: int, lows: Sequence[int], width: int) -> Callable[[int, Any], Sequence[Any]]:
    """One filtered query, with the range that belongs to it."""
    return lambda at, query: store.filtered(query, k, lows[at], lows[at] + width)


def ask(one: Callable[[int, Any], Sequence[Any]], store: Any, asked: Asked, limit: float) -> dict[str, Any]:
    """One query after the other, at most `limit` seconds; recall and the number of rows that came back."""
    for at in range(WARM):
        one(-1 - at, asked.queries[-1 - at])
    answers, walls = [], []
    cpu, started = cpu_seconds(), time.perf_counter()
    last = started
    for at, query in enumerate(asked.queries):
        answers.append(one(at, query))
        now = time.perf_counter()
        walls.append(now - last)
        last = now
        if now - started > limit and len(answers) >= FEWEST:
            break
    cpu, wall, count = cpu_seconds() - cpu, last - started, len(answers)
    rows = [set(store.rows_of(answer)) for answer in answers]
    true = [set(best[best >= 0].tolist()) for best in asked.truth[:count]]
    return {
        "queries": count,
        "wall": wall,
        "cpu_ms": cpu / count * 1000,
        "wall_ms": wall / count * 1000,
        "p99_ms": sorted(walls)[int(count * 0.99)] * 1000,
        "recall": sum(map(len, map(set.__and__, rows, true))) / sum(map(len, true)),
        "fewest_rows": min(map(len, rows)),
        "short": sum(len(found) < len(best) for found, best in zip(rows, true, strict=True)),
    }


def cpu_seconds() -> float:
    """Of this process with all its threads, of children that ended and of those that run."""
    import psutil

    spent = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        spent += usage.ru_utime + usage.ru_stime
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        spent += times.user + times.system
    return spent


def memory() -> dict[str, float]:
    """MiB by Linux's own names: resident, its anonymous and its file part, the most that was ever resident."""
    lines = Path("/proc/self/status").read_text().splitlines()
    wanted = ("VmRSS", "RssAnon", "RssFile", "VmHWM")
    fields = (line.split() for line in lines if line.startswith(wanted))
    return {words[0].rstrip(":"): round(int(words[1]) * 1024 / MEBI, 1) for words in fields}


if __name__ == "__main__":
    main()
