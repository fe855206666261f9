"""What late interaction's codes and scans lose on real token vectors, beside exact MaxSim over them.

    RETR_DATA=… python bench/late_recall.py [--documents 2500] [--queries 200] [--tokens 180]

The tokens are the default encoder's states of SciFact's abstracts and claims, each made length 1. It was not trained
for late interaction, so this is about what coding loses, not about the quality of search.
"""

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from recording import machine, record, retr_packages, versions

from retr.encoders import load_encoder
from retr.index.disk.fsio import Disk
from retr.index.late.building import build_part
from retr.index.late.index import LateIndex
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.part import LatePart
from retr.index.late.settings import Effort, LateSettings
from retr.index.late.verifying import verify
from retr.retrieval.embeddings import TokenVectors

BATCH = 64


def states(texts: Sequence[str], side: str, longest: int) -> Iterator[TokenVectors]:
    """The encoder's states of each text's first tokens, in blocks of texts."""
    encoder: Any = load_encoder()
    ids = [np.asarray(one, np.int64)[:longest] for one in encoder.tokenize(texts, side).ids]
    for first in range(0, len(ids), BATCH):
        some = ids[first : first + BATCH]
        offsets = np.cumsum([0, *(len(one) for one in some)]).astype(np.int64)
        flat = np.concatenate(some)
        values = encoder.network.packed(flat, np.zeros_like(flat), offsets)
        yield TokenVectors(values / np.linalg.norm(values, axis=1, keepdims=True), offsets)


def joined(blocks: Sequence[TokenVectors]) -> TokenVectors:
    """One after the other."""
    lengths = np.concatenate([np.diff(block.offsets) for block in blocks])
    values = np.concatenate([block.values for block in blocks])
    return TokenVectors(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def texts_of(folder: Path) -> tuple[list[str], list[str]]:
    """SciFact's documents and queries."""
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        documents = [json.loads(line) for line in file]
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]
    return [f"{one.get('title', '')} {one['text']}".strip() for one in documents], [one["text"] for one in queries]


def measured(blocks: Sequence[TokenVectors], queries: TokenVectors, settings: LateSettings) -> dict[str, Any]:
    """One codec: its size, its cost and its recall, scored whole and with fewer candidates."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        codec, names, facts = build_part(Disk(), Path(folder), blocks, settings)
        built = time.process_time() - started
        size = sum((Path(folder) / name).stat().st_size for name in names) / facts["tokens"]
        index = LateIndex(codec, [LatePart.open(Path(folder), codec, facts, chosen_kernels())])
        row: dict[str, Any] = {"bits": settings.bits, "centroids": len(codec.centroids)}
        row |= {"bytes_a_token": round(size, 2), "build_cpu_s": round(built, 1)}
        for candidates in (256, 512, 1024) if codec.coded else (1024,):
            effort = Effort(candidates=candidates)
            started = time.thread_time()
            for query in list(queries)[:20]:
                index.search(TokenVectors(query, np.array([0, len(query)])), 10, effort=effort)
            spent = (time.thread_time() - started) / 20
            found = verify(index, blocks, queries=queries, effort=effort)
            row[f"with_{candidates}"] = {"recall": round(found.recall, 4), "search_cpu_ms": round(1000 * spent, 2)}
            row["all_scored"] = round(found.coding or 0.0, 4)
        return row


def main() -> None:
    """Run, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=2500)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=180)
    chosen = parser.parse_args()
    documents, queries = texts_of(Path(os.environ["RETR_DATA"]) / "scifact")
    blocks = list(states(documents[: chosen.documents], "documents", chosen.tokens))
    asked = joined(list(states(queries[: chosen.queries], "queries", 32)))
    sizes = {"documents": sum(len(block) for block in blocks), "tokens": sum(len(block.values) for block in blocks)}
    sizes |= {"dim": asked.dim, "queries": len(asked), "query_tokens": len(asked.values)}
    print(sizes)
    rows = []
    for settings in (LateSettings(bits=8, centroids=0), LateSettings(bits=4), LateSettings(bits=2)):
        rows.append(measured(blocks, asked, settings))
        print(rows[-1], flush=True)
    facts = {"machine": machine(), "versions": versions(sys.executable, retr_packages()), "sizes": sizes}
    print(record("late-recall", {**facts, "codecs": rows}))


if __name__ == "__main__":
    main()
