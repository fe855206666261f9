"""Mined rows as JSON lines, and beside them a JSON file that says how they came about."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from retr.distill.mining.margins import Measured
from retr.distill.mining.mining import Mined, Mining
from retr.distill.rows_file import check_rows_file, new_file
from retr.retrieval.records import Query
from retr.retrieval.runs import Qrels
from retr.retrieval.version import VERSION

BINS = 60
DIGITS = 6


def write(mining: Mining, out: Path, *, queries: Iterable[Query], qrels: Qrels) -> dict[str, Any]:
    """Write every row to `out`, and what `record` gives to the same name with .json; returns that.

    Both are there when all rows are: an older file stays until then. Nothing in them tells the time or the machine, so
    the same inputs give the same bytes.
    """
    check_rows_file(out)
    digest = hashlib.sha256()
    with new_file(out) as file:
        for row in mining:
            line = _line(row)
            digest.update(line)
            file.write(line)
        about = record(mining, queries=queries, qrels=qrels) | {"sha256": digest.hexdigest()}
        with new_file(out.with_suffix(".json")) as beside:
            beside.write(json.dumps(about, ensure_ascii=False, indent=1).encode() + b"\n")
    return about


def record(mining: Mining, *, queries: Iterable[Query], qrels: Qrels) -> dict[str, Any]:
    """Settings, inputs by their hashes, the bounds in force and why, counts and the histogram, as JSON values."""
    collection, scorer = mining.collection, mining.scorer
    encoder = collection.manifest.encoder
    files = {name: facts.sha256 for name, facts in sorted(collection.manifest.files().items())}
    return {
        "retr": VERSION,
        "settings": asdict(mining.settings),
        "index": {
            "generation": collection.manifest.generation,
            "documents": len(collection),
            "encoder": None if encoder is None else encoder.fingerprint,
            "sha256": _hash([files]),
        },
        "scorer": None if scorer is None else {"fingerprint": scorer.fingerprint, "comparable": scorer.comparable},
        "queries": {"sha256": _hash([query.id, query.text] for query in queries)},
        "qrels": {"sha256": _hash([id, dict(qrels.grades[id])] for id in qrels)},
        "bounds": asdict(mining.bounds),
        "choice": None if mining.choice is None else asdict(mining.choice),
        "counts": asdict(mining.counts),
        "histogram": None if mining.measured is None else histogram(mining.measured),
    }


def histogram(measured: Measured) -> dict[str, Any]:
    """Counts of scores less the positive's, [BINS] of candidates and of other positives, between [BINS + 1] edges."""
    both = np.concatenate([measured.candidates, measured.positives])
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 0.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    return {
        "queries": measured.queries,
        "edges": [round(float(edge), DIGITS) for edge in edges],
        "candidates": np.histogram(measured.candidates, edges)[0].tolist(),
        "positives": np.histogram(measured.positives, edges)[0].tolist(),
        "positives_of_one_query": measured.within,
    }


def _line(row: Mined) -> bytes:
    table: dict[str, Any] = {
        "query": row.query.text,
        "query_id": row.query.id,
        "positive": row.positive.text,
        "positive_id": row.positive.id,
        "negatives": [one.text for one in row.negatives],
        "negative_ids": [one.id for one in row.negatives],
    }
    if row.scores is not None and row.positive_score is not None:
        scores = [round(score, DIGITS) for score in row.scores]
        table["scores"] = {"positive": round(row.positive_score, DIGITS), "negatives": scores}
    return json.dumps(table, ensure_ascii=False).encode() + b"\n"


def _hash(values: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(json.dumps(value).encode() + b"\n")
    return digest.hexdigest()
