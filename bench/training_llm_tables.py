"""What training a decoder brought: means with intervals, and paired differences from each step of the ladder."""

import argparse
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tables import Table, number
from training_medquad_tables import around, averaged, differences, gap, listed, measured_finding, minutes, row_of

METRICS = ("ndcg@10", "mrr@10", "recall@100")
TITLES = {
    "start-causal": "untrained, causal, last token",
    "start-bidirectional": "untrained, bidirectional, mean",
    "causal": "NT-Xent, causal, last token",
    "bidirectional": "NT-Xent, bidirectional, mean",
    "sft": "NT-Xent + SFT, bidirectional, mean",
    "dpo": "NT-Xent + DPO, bidirectional, mean",
    "grl": "GRL (NT-Xent + DPO + KL), bidirectional, mean",
    "last": "NT-Xent, bidirectional, last token",
    "layers": "NT-Xent, bidirectional, learned over all layers",
}
COMPARED = (
    ("causal", "start-causal"),
    ("bidirectional", "causal"),
    ("sft", "bidirectional"),
    ("dpo", "bidirectional"),
    ("grl", "bidirectional"),
    ("grl", "dpo"),
    ("last", "bidirectional"),
    ("layers", "bidirectional"),
    ("layers", "last"),
)

FOUND = {
    "grl": "bidirectional",
    "dpo": "bidirectional",
    "sft": "bidirectional",
    "bidirectional": "causal",
    "causal": "",
}
FOUND |= {"layers": "bidirectional"}
"""What stands on the results page, and beside what."""

Cells = Mapping[str, Mapping[str, Any]]


def result(cells: Cells, args: argparse.Namespace) -> dict[str, Any]:
    """What is recorded beside machine and versions. Only seeds that every variant has are compared."""
    variants = [name for name in TITLES if not name.startswith("start")]
    whole = whole_seeds(cells, variants)
    chosen = {name: [cells[f"{name}-{seed}"] for seed in whole] for name in variants if whole}
    values = {name: cells[name]["values"] for name in TITLES if name in cells}
    values |= {name: averaged([cell["values"] for cell in found]) for name, found in chosen.items()}
    pairs = differences(values, COMPARED)
    rows = [
        row_of(name, found, [one["values"] for one in chosen.get(name, ())], pairs) for name, found in values.items()
    ]
    trained = [cell for cell in cells.values() if "variant" in cell]
    return {
        "title": "A decoder trained to embed",
        "seeds": whole,
        "rows": rows,
        "cells": [told(cell) for cell in trained],
        "findings": [finding(row) for name in FOUND for row in rows if row["system"] == name],
        "values": listed(values),
        "tables": [table(rows).json(), seed_table(trained).json()],
        "caption": caption(whole, args),
    }


def finding(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the results page shows of a row."""
    name = row["system"]
    found = {"system": "grl", "model": f"six layers, {TITLES[name]}", "data": "MedQuAD test, its own answers"}
    return {**found, "command": "python bench/training_llm.py", **measured_finding(row, FOUND[name], TITLES)}


def whole_seeds(cells: Cells, variants: Sequence[str]) -> list[int]:
    """The seeds that every variant was trained with."""
    seeds = sorted({cell["seed"] for cell in cells.values() if "seed" in cell})
    return [seed for seed in seeds if all(f"{name}-{seed}" in cells for name in variants)]


def told(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One trained model: what it was made with."""
    kept = {key: cell[key] for key in ("cell", "variant", "seed", "training_cpu_seconds", "cpu_seconds", "commit")}
    training = {key: cell["training"][key] for key in ("steps", "objective", "settings", "seconds")}
    return {**kept, "training": training, "mean": fmean(cell["values"][METRICS[0]].values())}


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line a system."""
    columns = ["system", *(f"{metric} [95%]" for metric in METRICS), "seeds ± sd", "difference [95%], p adjusted"]
    lines = []
    for row in rows:
        spread = f"{row['seeds']} ± {row['sd']:.4f}" if "sd" in row else "-"
        gaps = "; ".join(f"− {base}: {gap(pair)}" for base, pair in row["against"].items()) or "-"
        found = [around(row["metrics"].get(name)) for name in METRICS]
        lines.append([TITLES[row["system"]], *found, spread, gaps])
    return Table(columns, lines)


def seed_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    """A line a trained model."""
    lines = [
        [cell["cell"], number(fmean(cell["values"][METRICS[0]].values()), 4), minutes(cell["training_cpu_seconds"])]
        for cell in cells
    ]
    return Table(["model", "test nDCG@10", "CPU minutes of training"], lines)


def caption(seeds: Sequence[int], args: argparse.Namespace) -> str:
    """How it was made."""
    return (
        f"MedQuAD: the 815 test questions over the test answers alone. The first {args.layers} of SmolLM2-135M-"
        f"Instruct's 30 layers (Q4_1 weights made float32), {args.max_tokens} tokens a text, learn from questions of "
        f"other diseases with a mined negative each: {args.steps} steps of {args.batch_size} rows, low-rank updates "
        f"of rank {args.rank}, AdamW at {args.learning_rate:g}, {args.precision} on one CPU thread; the last step "
        f"counts. Seeds that every variant has: {', '.join(map(str, seeds)) or 'none'}. Intervals: 95% bootstrap over "
        "questions, each question's value being its mean over the seeds; differences are paired; p by randomisation, "
        "adjusted by Holm over all differences here."
    )
