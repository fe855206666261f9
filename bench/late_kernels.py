"""Late interaction on one thread: CPU time of each step of a search, its recall, and bytes a token; on made-up tokens.

    python bench/late_kernels.py [--documents 10000] [--queries 100] [--rounds 5]

CPU time is the thread's own, so another program on the machine moves it only through the caches and the clock.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from recording import machine, record, retr_packages, versions

from retr.index.disk.fsio import Disk
from retr.index.late.codec import Codec
from retr.index.late.index import LateIndex
from retr.index.late.kernels.native import Compiled, chosen_kernels, kernels
from retr.index.late.kernels.reference import Numpy
from retr.index.late.part import LatePart, write_part
from retr.index.late.query import PreparedQuery
from retr.index.late.settings import Effort, LateSettings
from retr.index.late.training import train_codec
from retr.index.late.verifying import exact_best
from retr.retrieval.embeddings import Floats, TokenVectors

DIM, QUERY_TOKENS, K = 128, 32, 10
CANDIDATES = (256, 512, 1024)


def unit(values: np.ndarray) -> Floats:
    """Length 1."""
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def corpus(documents: int, queries: int) -> tuple[TokenVectors, TokenVectors]:
    """Words moved by their document and by noise, ten documents to a vocabulary; a query is a document, moved again."""
    rng = np.random.default_rng(0)
    words = unit(rng.normal(size=(4000, DIM)))
    made = []
    for row in range(documents):
        own = np.random.default_rng(row // 10).integers(0, 4000, 30)
        length = max(8, rng.poisson(64))
        shared = rng.random(length) < 0.05 + 0.1 * (row % 10)
        chosen = np.where(shared, rng.choice(own, length), rng.integers(0, 4000, length))
        moved = words[chosen] + 0.4 * unit(rng.normal(size=DIM)) + 0.6 * unit(rng.normal(size=(length, DIM)))
        made.append(unit(moved))
    asked = []
    for row in rng.choice(documents, queries, replace=False):
        tokens = made[row][rng.integers(len(made[row]), size=QUERY_TOKENS)]
        asked.append(unit(tokens + 0.5 * unit(rng.normal(size=tokens.shape))))
    return ragged(made), ragged(asked)


def ragged(parts: list[Floats]) -> TokenVectors:
    """Texts end to end."""
    return TokenVectors(np.concatenate(parts), np.cumsum([0, *(len(part) for part in parts)]).astype(np.int64))


def cpu_ms(work: Callable[[Any], object], items: list[Any]) -> float:
    """Median CPU milliseconds of this thread, the first item left out."""
    times = []
    for item in [items[0], *items]:
        started = time.thread_time()
        work(item)
        times.append(1000 * (time.thread_time() - started))
    return round(statistics.median(times[1:]), 3)


def recall(found: np.ndarray, best: np.ndarray) -> float:
    """Share of the best that was found."""
    return round(float((found[:, :, None] == best[:, None, :]).any(axis=1).mean()), 4)


def by_blas(documents: TokenVectors, query: Floats) -> np.ndarray:
    """MaxSim by numpy's matrix product, in blocks of documents that stay in the cache."""
    out, ends = [], documents.offsets
    for first in range(0, len(documents), 64):
        some = ends[first : first + 65]
        products = documents.values[some[0] : some[-1]] @ query.T
        out.append(np.maximum.reduceat(products, some[:-1] - some[0], axis=0).sum(axis=1))
    return np.concatenate(out)


def steps(name: str, codec: Codec, part: LatePart, queries: list[Floats], best: np.ndarray) -> list[dict[str, Any]]:
    """Rows of the table for one codec."""
    index, engine = LateIndex(codec, [part]), chosen_kernels()
    asked = ragged(queries)
    rows = []

    def prepared(query: Floats) -> PreparedQuery:
        return PreparedQuery(query, codec, engine)

    ready = [prepared(query) for query in queries]
    _ = [(query.bases, query.table) if codec.coded else query.bases for query in ready]
    found = index.search(asked, K, effort=Effort(candidates=1 << 40)).rows
    milliseconds = cpu_ms(lambda query: part.scores(query, None), ready)
    rows.append({"step": f"{name}: every document scored", "cpu_ms": milliseconds, "recall": recall(found, best)})
    if not codec.coded:
        return rows
    milliseconds = cpu_ms(lambda query: prepared(query).table, queries)
    rows.append({"step": f"{name}: centroids' products and tables", "cpu_ms": milliseconds})
    milliseconds = cpu_ms(lambda query: part.scan(query, None), ready)
    rows.append({"step": f"{name}: scan of all codes", "cpu_ms": milliseconds})
    for count in CANDIDATES:
        effort = Effort(candidates=count)
        ones = [TokenVectors(query, np.array([0, len(query)])) for query in queries]
        milliseconds = cpu_ms(lambda one, effort=effort: index.search(one, K, effort=effort), ones)
        share = recall(index.search(asked, K, effort=effort).rows, best)
        rows.append({"step": f"{name}: search, {count} candidates", "cpu_ms": milliseconds, "recall": share})
    return rows


def instruction_sets(part: LatePart, codec: Codec, queries: list[Floats]) -> list[dict[str, Any]]:
    """Nanoseconds a token of the scan and of scoring 4 bits, by instruction set and in numpy."""
    rows = []
    for engine in (*(Compiled(name) for name in kernels()), Numpy()):
        own = LatePart(part.tokens, codec, engine)
        ready = [PreparedQuery(query, codec, engine) for query in queries[:3]]
        some = np.arange(min(len(part), 1000))
        tokens = int(part.tokens.offsets[len(some)])
        scan = cpu_ms(lambda query, own=own: own.scan(query, None), ready) * 1e6 / part.token_count
        score = cpu_ms(lambda query, own=own, some=some: own.scores(query, some), ready) * 1e6 / tokens
        rows.append({"kernels": engine.name, "scan_ns": round(scan, 2), "score_ns": round(score, 1)})
    return rows


def main() -> None:
    """Run, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    documents, queries = corpus(chosen.documents, chosen.queries)
    each, tokens = list(queries), len(documents.values)
    engine = chosen_kernels()
    print(f"{len(documents)} documents, {tokens} tokens of {DIM}, {len(each)} queries of {QUERY_TOKENS}; {engine.name}")
    best = exact_best(queries, [documents], K, len(documents))
    rows = [{"step": "float32: numpy's matrix product", "cpu_ms": cpu_ms(lambda q: by_blas(documents, q), each[:10])}]
    rows.append({"step": "float32: kernel", "cpu_ms": cpu_ms(lambda q: engine.floats(q, documents), each[:10])})
    builds, sets = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in (
            ("int8", LateSettings(bits=8, centroids=0)),
            ("4 bits", LateSettings(bits=4, rounds=chosen.rounds)),
            ("2 bits", LateSettings(bits=2, rounds=chosen.rounds)),
        ):
            path = Path(folder) / name
            path.mkdir()
            started = time.process_time()
            codec = train_codec(documents.values, tokens, settings)
            trained = time.process_time()
            names, facts = write_part(Disk(), path, [documents], codec)
            done = time.process_time()
            size = sum((path / one).stat().st_size for one in names) / tokens
            builds.append(
                {"codec": name, "centroids": len(codec.centroids), "train_cpu_s": round(trained - started, 1)}
                | {"write_cpu_s": round(done - trained, 1), "bytes_a_token": round(size, 2)}
            )
            part = LatePart.open(path, codec, facts, engine)
            rows += steps(name, codec, part, each, best)
            if name == "4 bits":
                sets = instruction_sets(part, codec, each)
    for table in (rows, builds, sets):
        for row in table:
            print("  ".join(f"{key} {value}" for key, value in row.items()))
    sizes = {"documents": len(documents), "tokens": tokens, "dim": DIM, "queries": len(each)}
    sizes |= {"query_tokens": QUERY_TOKENS, "rounds": chosen.rounds}
    found = {"machine": machine(), "versions": versions(sys.executable, retr_packages()), "sizes": sizes}
    print(record("late-kernels", {**found, "steps": rows, "builds": builds, "instruction_sets": sets}))


if __name__ == "__main__":
    main()
