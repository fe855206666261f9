"""Late interaction over real token vectors on one CPU thread: retr's index, exact MaxSim in torch, and two engines.

    RETR_DATA=… python bench/late_tokens.py
    RETR_DATA=… python bench/late.py [--documents 4000 14581] [--peers ../peers-late/bin/python] [--queries 200]

Each cell is a process of its own: it builds its index where there is none, and searches with one query after another.
The share of exact MaxSim's 10 best that an engine finds stands beside what a query takes: CPU time of the whole
process, and the 95th percentile of the wall time. nDCG@10 is over TREC DL 2019's 43 judged queries. Cells that are done
are not run again, and their order is drawn, so that a busy hour of the machine does not fall on one engine alone.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from late_tables import result
from recording import ROOT, machine, record, retr_packages, versions

K = 10
HERE = Path(__file__).parent
Cell = dict[str, Any]

OWN = [
    {"engine": "torch"},
    {"engine": "retr", "bits": 8},
    {"engine": "retr", "bits": 4},
    {"engine": "retr", "bits": 4, "candidates": 256},
    {"engine": "retr", "bits": 4, "candidates": 4096},
    {"engine": "retr", "bits": 2},
]
OTHERS = [
    {"engine": "fast_plaid", "bits": 4, "n_full_scores": 4096, "n_ivf_probe": 8},
    {"engine": "fast_plaid", "bits": 4, "n_full_scores": 1024, "n_ivf_probe": 8},
    {"engine": "fast_plaid", "bits": 4, "n_full_scores": 8192, "n_ivf_probe": 32},
    {"engine": "xtr_warp", "bits": 4, "nprobe": 0},
    {"engine": "xtr_warp", "bits": 4, "nprobe": 32},
]
BUILT_BY = ("engine", "bits", "documents")


def main() -> None:
    """Every cell that is not done yet; then the table and the record."""
    chosen = arguments()
    chosen.work.mkdir(parents=True, exist_ok=True)
    few = [] if chosen.peers is None else [size for size in chosen.documents if size <= chosen.peers_documents]
    cells = [
        {**one, "documents": size} for size in chosen.documents for one in [*OWN, *(OTHERS if size in few else [])]
    ]
    cells = [cell for cell in cells if cell["engine"] not in chosen.without]
    if chosen.collect:
        cells = [cell for cell in cells if (chosen.work / f"{name_of(cell)}.json").exists()]
    order = [] if chosen.collect else random.Random(chosen.seed).sample(cells, len(cells))
    for cell in sorted(order, key=lambda one: one["engine"] != "torch"):
        run(cell, chosen)
    rows = [summed(cell, told(cell, chosen), chosen) for cell in cells]
    for row in rows:
        print(json.dumps(row))
    if chosen.record:
        used = {"retr": versions(sys.executable, [*retr_packages(), "torch"])}
        if chosen.peers:
            measured = {row["engine"].replace("_", "-") for row in rows if "recall" in row}
            theirs = [name for name in ("fast-plaid", "xtr-warp-rs") if name.removesuffix("-rs") in measured]
            used["peers"] = versions(str(chosen.peers), [*theirs, "torch", "numpy"])
        print(record(chosen.name, result(rows, {"machine": machine(), "versions": used}, chosen.queries, chosen.busy)))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[4_000, 14_581])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--tokens", type=Path, default=ROOT / "bench" / "scratch" / "tokens")
    parser.add_argument("--work", type=Path, default=ROOT / "bench" / "scratch" / "late")
    parser.add_argument("--peers", type=Path, help="the Python of an environment with fast-plaid and xtr-warp-rs")
    parser.add_argument("--name", default="late", help="name of the result")
    parser.add_argument("--busy", action="store_true", help="the machine had other work: tell no wall times")
    parser.add_argument("--without", nargs="*", default=[], help="engines to leave out")
    parser.add_argument("--peers-documents", type=int, default=4_000, help="they build for so many at most")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--collect", action="store_true", help="measure nothing, and record what there is")
    parser.add_argument("--again", action="store_true", help="search again in what was built")
    parser.add_argument("--record", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def name_of(cell: Cell, parts: Sequence[str] | None = None) -> str:
    """Such as retr-4-14581-1024."""
    return "-".join(str(value) for key, value in cell.items() if parts is None or key in parts)


def run(cell: Cell, chosen: argparse.Namespace) -> None:
    """A cell's process, unless it is done; what it built and what it found, each in its file."""
    path: Path = chosen.work / f"{name_of(cell)}.json"
    if path.exists() and not chosen.again:
        return
    print(name_of(cell), flush=True)
    built = chosen.work / name_of(cell, BUILT_BY)
    said = process(
        {**cell, "tokens": str(chosen.tokens), "index": str(built), "k": K, "queries": chosen.queries}, chosen
    )
    if "build_s" in said:
        built.with_suffix(".built.json").write_text(json.dumps({key: said[key] for key in ("build_s", "build_cpu_s")}))
    path.write_text(json.dumps(said))


def told(cell: Cell, chosen: argparse.Namespace) -> Cell:
    """What a cell's process said, and what its index took to build, by whichever cell that was."""
    built = (chosen.work / name_of(cell, BUILT_BY)).with_suffix(".built.json")
    found: Cell = json.loads((chosen.work / f"{name_of(cell)}.json").read_text())
    return {**found, **(json.loads(built.read_text()) if built.exists() else {})}


def process(job: Mapping[str, Any], chosen: argparse.Namespace) -> Cell:
    """One engine in its own environment, on one thread."""
    own = job["engine"] in ("retr", "torch")
    script = [HERE / "late_engines.py", job["engine"]] if own else [HERE / "peers" / f"late_{job['engine']}.py"]
    command = [sys.executable if own else str(chosen.peers), *map(str, script), json.dumps(job)]
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "RETR_THREADS", "MKL_NUM_THREADS")}
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads}, check=False)
    if ended.returncode:
        return {"failed": ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}"]}
    said: Cell = json.loads(ended.stdout.strip().splitlines()[-1])
    return said


def summed(cell: Cell, said: Cell, chosen: argparse.Namespace) -> Cell:
    """The cell with its figures: recall beside exact MaxSim, quality, costs, bytes a token."""
    if "failed" in said:
        return {**cell, **said}
    exact = told({"engine": "torch", "documents": cell["documents"]}, chosen)
    shared = [len(set(found) & set(best)) / K for found, best in zip(said["rows"], exact["rows"], strict=True)]
    row = {**cell, "recall": round(sum(shared) / len(shared), 4), "ndcg": round(quality(said["rows"], chosen), 4)}
    told_of = ("cpu_ms", "build_cpu_s", *(() if chosen.busy else ("wall_p50_ms", "wall_p95_ms", "build_s")))
    row |= {key: round(said[key], 2) for key in told_of if key in said}
    return row | {"tokens": exact["tokens"], "bytes_a_token": round(said["bytes"] / exact["tokens"], 1)}


def quality(rows: Sequence[Sequence[int]], chosen: argparse.Namespace) -> float:
    """nDCG@10 over the judged queries."""
    from retr.retrieval.evaluation.ranking import evaluate
    from retr.retrieval.runs import Qrels, Run

    ids = json.loads((chosen.tokens / "ids.json").read_text())
    asked = json.loads((chosen.tokens / "queries.json").read_text())
    qrels = Qrels.load(Path(os.environ["RETR_DATA"]) / "msmarco-dl19" / "qrels" / "test.tsv")
    found = {
        id: {ids[row]: float(-rank) for rank, row in enumerate(best)}
        for (id, _), best in zip(asked, rows, strict=False)
        if id in qrels
    }
    return float(evaluate(Run(found), qrels, ["ndcg@10"]).means["ndcg@10"])


if __name__ == "__main__":
    main()
