"""What seeing the whole list brought: MVP and its pointwise twin over the same candidates, and what each takes."""

import argparse
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tables import Table, number
from training_medquad_tables import MAIN, Cells, around, averaged, differences, gap, listed, minutes, row_of

TITLES = {
    "bm25": "BM25, not reranked",
    "mvp": "MVP, ListNet",
    "mvp-double": "MVP, the published loss",
    "pointwise": "pointwise twin, softmax over the list",
}
COMPARED = (
    ("mvp", "pointwise"),
    ("mvp-double", "pointwise"),
    ("mvp-double", "mvp"),
    ("mvp", "bm25"),
    ("mvp-double", "bm25"),
    ("pointwise", "bm25"),
)
COMMAND = "python bench/mvp.py"


def result(cells: Cells, args: argparse.Namespace) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    seeds = {kind: [cell for cell in cells.values() if cell.get("kind") == kind] for kind in TITLES}
    seeds = {kind: found for kind, found in seeds.items() if found}
    values = {"bm25": cells["bm25"]["values"]}
    values |= {kind: averaged([cell["values"] for cell in found]) for kind, found in seeds.items()}
    pairs = differences(values, COMPARED)
    rows = [
        row_of(name, found, [one["values"] for one in seeds.get(name, ())], pairs) for name, found in values.items()
    ]
    tables = [quality(rows), per_seed(seeds), *([times(cells["times"]["times"])] if "times" in cells else [])]
    return {
        "title": "MVP and its pointwise twin",
        "rows": rows,
        "cells": [told(cell) for found in seeds.values() for cell in found],
        "findings": [finding(row) for row in rows if row["system"].startswith("mvp")],
        "values": listed(values),
        "tables": [table.json() for table in tables],
        "caption": caption(args, len(values["bm25"][MAIN])),
    }


def told(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One trained model and what it was made with."""
    training = {key: cell["training"][key] for key in ("steps", "objective", "settings", "seconds")}
    kept = {key: cell[key] for key in ("kind", "seed", "training_cpu_seconds", "cpu_seconds", "commit")}
    return {**kept, "training": training, "mean": fmean(cell["values"][MAIN].values())}


def finding(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the results page shows of a row."""
    pair = row["against"]["pointwise"]
    against = {"model": TITLES["pointwise"], **{key: pair[key] for key in ("difference", "low", "high")}}
    found = {
        "system": "mvp",
        "model": f"two layers, {TITLES[row['system']]}",
        "data": "MedQuAD test",
        "metric": "nDCG@10",
    }
    found |= {**row["metrics"][MAIN], "queries": row["queries"], "command": COMMAND}
    found |= {key: row[key] for key in ("seeds", "sd") if key in row}
    return found | {"against": {**against, "p": pair["adjusted_p"]}}


def quality(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line a system."""
    columns = ["system", "ndcg@10 [95%]", "mrr@10 [95%]", "seeds ± sd", "− pointwise [95%]", "− BM25 [95%]"]
    lines = []
    for row in rows:
        spread = f"{row['seeds']} ± {row['sd']:.4f}" if "sd" in row else "-"
        means = [around(row["metrics"].get(name)) for name in (MAIN, "mrr@10")]
        gaps = [gap(row["against"].get(name)) for name in ("pointwise", "bm25")]
        lines.append([TITLES[row["system"]], *means, spread, *gaps])
    return Table(columns, lines)


def per_seed(seeds: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """A line a trained model."""
    lines = [
        [
            f"{TITLES[kind]}, seed {cell['seed']}",
            number(fmean(cell["values"][MAIN].values()), 4),
            minutes(cell["training_cpu_seconds"]),
            minutes(cell["cpu_seconds"]),
        ]
        for kind, found in seeds.items()
        for cell in found
    ]
    return Table(["model", "test nDCG@10", "CPU minutes of training", "of reranking"], lines)


def times(found: Mapping[str, Mapping[str, float]]) -> Table:
    """A line a number of candidates."""
    lines = [
        [count, number(one["reading_ms"]), number(one["judging_ms"], 2), f"{one['judging_ms'] / one['reading_ms']:.2%}"]
        for count, one in found.items()
    ]
    return Table(["candidates", "reading them, both (ms)", "judging them, MVP alone (ms)", "of reading"], lines)


def caption(args: argparse.Namespace, questions: int) -> str:
    """How it was made."""
    return (
        f"{questions} of MedQuAD's 815 test questions, the best 50 answers of BM25 reranked. A T5 of two encoder "
        "layers and one of the decoder, 128 wide, begins with all-MiniLM-L6-v2's words and layers at random, so it "
        f"knows no more of language than {args.steps} steps of {args.batch_size} questions teach, an answer and three "
        "of the "
        f"eight best wrong ones of hybrid search each; {args.max_tokens} tokens a pair, AdamW at "
        f"{args.learning_rate:g}, {args.precision} on one CPU thread, the last step kept. The twin is the same encoder "
        "with learned anchors in place of the decoder's, so it scores each pair alone; it has no decoder. Served in "
        "float32 on one thread. Intervals: 95% bootstrap over questions, each question's value being its mean over the "
        "seeds; differences are paired; p by randomisation, adjusted by Holm over all differences here."
    )
