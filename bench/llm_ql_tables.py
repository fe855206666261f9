"""What learning to tell the query brought: vectors with and without it, and its ranking beside rankings by words."""

import argparse
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tables import Table, number
from training_medquad_tables import (
    MAIN,
    Cells,
    around,
    averaged,
    differences,
    gap,
    listed,
    measured_finding,
    minutes,
    row_of,
)

TITLES = {
    "alone": "stage 2 alone",
    "both": "stage 1, then stage 2",
    "longer": "stage 2 alone, for more steps",
    "bm25": "BM25",
    "dirichlet": "query likelihood of words, Dirichlet's prior",
    "telling": "query likelihood of one token's keys (stage 1)",
}
VECTORS, RANKINGS = ("alone", "both", "longer"), ("bm25", "dirichlet", "telling")
COMPARED = (
    ("both", "alone"),
    ("both", "longer"),
    ("telling", "bm25"),
    ("telling", "dirichlet"),
    ("dirichlet", "bm25"),
)
COMMAND = "python bench/llm_ql.py"


def result(cells: Cells, args: argparse.Namespace) -> dict[str, Any]:
    """What is recorded beside machine and versions. Only seeds that every variant has are compared."""
    trained = [name for name in TITLES if name not in ("bm25", "dirichlet")]
    whole = [seed for seed in args.seeds if all(f"{name}-{seed}" in cells for name in trained)]
    seeds = {name: [cells[f"{name}-{seed}"]["values"] for seed in whole] for name in trained if whole}
    values = {name: cells[name]["values"] for name in ("bm25", "dirichlet") if name in cells}
    values |= {name: averaged(found) for name, found in seeds.items()}
    rows = {name: row_of(name, found, seeds.get(name, ()), {}) for name, found in values.items()}
    for pair, found in differences(values, COMPARED).items():
        rows[pair[0]]["against"][pair[1]] = {
            key: getattr(found, key) for key in ("difference", "low", "high", "p", "adjusted_p")
        }
    parts = {name: [rows[one] for one in group if one in rows] for name, group in GROUPS.items()}
    return {
        "title": "Learning to tell the query (LLM-QL)",
        "seeds": whole,
        "rows": list(rows.values()),
        "cells": [told(name, cell) for name, cell in cells.items() if "training" in cell],
        "keys": {key: cells["keys"][key] for key in ("forms", "numbers", "pairs", "lists")} if "keys" in cells else {},
        "findings": [finding(name, row) for name, part in parts.items() for row in part if row["system"] in FOUND],
        "values": {
            name: listed({one["system"]: values[one["system"]] for one in part}) for name, part in parts.items() if part
        },
        "tables": [*(table(part).json() for part in parts.values()), seed_table(cells).json(), *key_table(cells)],
        "caption": caption(whole, cells, args),
    }


GROUPS = {"vectors": VECTORS, "rankings": RANKINGS}
FOUND = {"both": "alone", "alone": "", "telling": "bm25", "dirichlet": "bm25"}
"""What stands on the results page, and beside what."""
DATA = {"vectors": "MedQuAD test, its own answers", "rankings": "MedQuAD test, its own answers, BM25's best"}


def told(name: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    """One trained model: what it was made with."""
    kept = {key: cell[key] for key in ("seed", "training_cpu_seconds", "cpu_seconds", "commit")}
    training = {key: cell["training"][key] for key in ("steps", "objective", "settings", "seconds")}
    return {"cell": name, **kept, "training": training, "mean": fmean(cell["values"][MAIN].values())}


def finding(group: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """What the results page shows of a row."""
    name = row["system"]
    found = {"system": "llm-ql", "model": f"six layers, {TITLES[name]}" if name != "dirichlet" else TITLES[name]}
    return {**found, "data": DATA[group], "command": COMMAND, **measured_finding(row, FOUND[name], TITLES)}


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line a system."""
    columns = ["system", "ndcg@10 [95%]", "mrr@10 [95%]", "questions", "seeds ± sd", "difference [95%], p adjusted"]
    lines = []
    for row in rows:
        spread = f"{row['seeds']} ± {row['sd']:.4f}" if "sd" in row else "-"
        gaps = "; ".join(f"− {TITLES[base]}: {gap(pair)}" for base, pair in row["against"].items()) or "-"
        means = [around(row["metrics"].get(name)) for name in (MAIN, "mrr@10")]
        lines.append([TITLES[row["system"]], *means, str(row["queries"]), spread, gaps])
    return Table(columns, lines)


def seed_table(cells: Cells) -> Table:
    """A line a trained model."""
    lines = [
        [name, number(fmean(cell["values"][MAIN].values()), 4), minutes(cell["training_cpu_seconds"])]
        for name, cell in cells.items()
        if "training" in cell
    ]
    return Table(["model", "test nDCG@10", "CPU minutes of training"], lines)


def key_table(cells: Cells) -> list[dict[str, Any]]:
    """A line a way to get the same scores."""
    if "keys" not in cells:
        return []
    found = cells["keys"]
    size = {"whole": "-", "float32": f"{4 * found['numbers']:,}", "float16": f"{2 * found['numbers']:,}"}
    lines = [
        [
            "reading the answers" if name == "whole" else f"stored keys, {name}",
            size[name],
            number(one["cpu_seconds"], 1),
            f"{one['largest_difference']:.1e}",
            f"{one['same_order']} of {found['lists']}",
        ]
        for name, one in found["forms"].items()
    ]
    columns = ["scores by", "bytes an answer", "CPU seconds", "largest relative difference", "lists in the same order"]
    return [Table(columns, lines).json()]


def caption(seeds: Sequence[int], cells: Cells, args: argparse.Namespace) -> str:
    """How it was made."""
    weight = cells.get("dirichlet", {}).get("weight", "-")
    room = args.telling_tokens - args.telling_tokens // 4 - 1
    return (
        f"MedQuAD's test questions over the test answers alone. The first {args.layers} of SmolLM2-135M-Instruct's 30 "
        f"layers. Stage 1: all weights learn to tell the question from the end token of its answer, "
        f"{args.telling_steps} steps of {args.batch_size} rows, corruption {args.corruption:g}, AdamW at "
        f"{args.telling_rate:g}. Stage 2: the row 'NT-Xent, causal, last token' of training_llm.py, {args.steps} "
        f"steps; for more steps: {args.longer_steps}. No prompts. Vectors: all test questions. Rankings: "
        f"{args.queries} of them, the best {args.depth} answers of BM25; the decoder reads the first {room} tokens of "
        f"an answer, words are those of all of it; Dirichlet's weight of {weight} is the best of five for dev "
        f"questions. Seeds that every variant has: {', '.join(map(str, seeds)) or 'none'}. Intervals: 95% bootstrap "
        "over questions, each question's value being its mean over the seeds; differences are paired; p by "
        "randomisation, adjusted by Holm over all differences here."
    )
