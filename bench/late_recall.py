"""What late interaction's codes and scans lose on real token vectors, beside exact MaxSim over them.

    RETR_DATA=… python bench/late_recall.py [--documents 2500] [--queries 200] [--tokens 180] [--model late=FOLDER]

The tokens are those of SciFact's abstracts and claims: by a late-interaction model, such as one that training_late.py
kept (--keep), or else the default encoder's states, each made length 1. That one was not trained for late interaction,
so this is about what coding loses, not about the quality of search.
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
from tables import Table, number

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


def by_model(spec: str, texts: Sequence[str], side: str) -> Iterator[TokenVectors]:
    """The tokens as a late-interaction model gives them, in blocks of texts."""
    encoder: Any = load_encoder(spec)
    encode = encoder.encode_queries if side == "queries" else encoder.encode_documents
    for first in range(0, len(texts), BATCH):
        yield encode(texts[first : first + BATCH])


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
    parser.add_argument("--tokens", type=int, default=180, help="of a text, at most, without a model")
    parser.add_argument("--model", help="a late-interaction encoder, such as late=FOLDER")
    parser.add_argument("--about", default="", help="what the model is, for the record")
    parser.add_argument("--name", default="late-recall", help="name of the result")
    chosen = parser.parse_args()
    documents, queries = texts_of(Path(os.environ["RETR_DATA"]) / "scifact")
    texts = {"documents": documents[: chosen.documents], "queries": queries[: chosen.queries]}
    longest = {"documents": chosen.tokens, "queries": 32}
    tokens = {
        side: list(by_model(chosen.model, some, side) if chosen.model else states(some, side, longest[side]))
        for side, some in texts.items()
    }
    blocks, asked = tokens["documents"], joined(tokens["queries"])
    sizes = {"documents": sum(len(block) for block in blocks), "tokens": sum(len(block.values) for block in blocks)}
    sizes |= {"dim": asked.dim, "queries": len(asked), "query_tokens": len(asked.values)}
    print(sizes)
    rows = []
    for settings in (
        LateSettings(bits=8, centroids=0),
        LateSettings(bits=4),
        LateSettings(bits=2),
    ):
        rows.append(measured(blocks, asked, settings))
        print(rows[-1], flush=True)
    facts = {"machine": machine(), "versions": {"retr": versions(sys.executable, retr_packages())}, "sizes": sizes}
    facts |= {"codecs": rows, "tables": [table(rows).json()], "caption": caption(sizes, chosen)}
    print(table(rows).markdown())
    print(record(chosen.name, facts))


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """A row a codec; where all is scored there are no candidates to vary."""
    columns = [
        "bits",
        "centroids",
        "bytes a token",
        "build, CPU s",
        "recall@10, all scored",
        "256 candidates",
        "512",
        "1,024",
    ]
    cells = []
    for row in rows:
        found = [row.get(f"with_{count}", {}).get("recall") for count in (256, 512, 1024)]
        numbers = [number(row["bytes_a_token"]), number(row["build_cpu_s"]), number(row["all_scored"], 3)]
        cells.append([str(row["bits"]), number(row["centroids"], 0), *numbers, *(number(one, 3) for one in found)])
    return Table(columns, cells)


def caption(sizes: dict[str, Any], chosen: argparse.Namespace) -> str:
    """What was coded."""
    made = chosen.about or ("a late-interaction model" if chosen.model else "all-MiniLM-L6-v2's states, made length 1")
    return (
        f"{sizes['documents']:,} abstracts of SciFact, {sizes['tokens']:,} tokens of {sizes['dim']} numbers, "
        f"{sizes['queries']} claims: {made}. Recall@10 is against exact MaxSim in float32."
    )


if __name__ == "__main__":
    main()
