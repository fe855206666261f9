"""What a cross-encoder trained on MedQuAD brought to each first stage, beside one that was trained on MS MARCO."""

import argparse
import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from report import newest
from tables import Table, number
from training_medquad_tables import (
    DATA,
    MAIN,
    METRIC,
    SHOWN,
    Cells,
    Values,
    around,
    averaged,
    differences,
    gap,
    listed,
    minutes,
    plain,
    row_of,
)

STAGES = ("bm25", "hybrid")
NAMES = {"bm25": "BM25", "hybrid": "hybrid"}
OTHER = "ms-marco-MiniLM-L-12-v2"
COMMAND = "python bench/training_cross.py"


def result(cells: Cells, args: argparse.Namespace) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    seeds = {stage: _seeds(stage, cells) for stage in STAGES}
    asked = sorted(set.intersection(*(set(cell["values"][MAIN]) for found in seeds.values() for cell in found)))
    values: dict[str, Mapping[str, Values]] = {stage: over(asked, cells[stage]["values"]) for stage in STAGES}
    for stage, found in seeds.items():
        values |= {cell["cell"]: cell["values"] for cell in found}
        values[f"{stage}+trained"] = averaged([cell["values"] for cell in found])
        values |= recorded(stage, asked)
    pairs = differences(values, wanted(values))
    rows = [
        row_of(name, found, _each(name, seeds), pairs)
        for name, found in values.items()
        if name not in cells or name in STAGES
    ]
    return {
        "title": "A cross-encoder trained on MedQuAD",
        "rows": rows,
        "cells": [told(cell) for cell in seeds["bm25"]],
        "findings": [finding(row) for row in rows if row["system"].endswith("+trained")],
        "values": listed(values),
        "tables": [table(rows).json(), seed_table(seeds, pairs).json()],
        "caption": caption(args, len(asked)),
    }


def _seeds(stage: str, cells: Cells) -> list[Mapping[str, Any]]:
    return [cell for name, cell in cells.items() if name.startswith(f"{stage}+cross-")]


def _each(name: str, seeds: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Values]]:
    stage, _, what = name.partition("+")
    return [cell["values"] for cell in seeds[stage]] if what == "trained" else []


def over(ids: Sequence[str], values: Mapping[str, Values]) -> dict[str, dict[str, float]]:
    """Of these questions alone."""
    return {metric: {id: found[id] for id in ids} for metric, found in values.items()}


def recorded(stage: str, ids: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """What bench/retrieval.py recorded for the other cross-encoder over the same questions, if it did."""
    path = newest("retrieval")
    every = json.loads(path.read_text(encoding="utf-8"))["values"].get("medquad", {}) if path else {}
    found = every.get(MAIN, {}).get(f"{stage}+cross")
    if found is None:
        return {}
    names = every["queries"].split(" ") if isinstance(every["queries"], str) else every["queries"]
    known = dict(zip(names, found, strict=True))
    if any(known.get(id) is None for id in ids):
        return {}
    return {f"{stage}+{OTHER}": {MAIN: {id: known[id] for id in ids}}}


def wanted(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every system against its first stage, and the two rerankers against each other."""
    behind = [(name, name.partition("+")[0]) for name in values if "+" in name]
    return [*behind, *((f"{stage}+trained", f"{stage}+{OTHER}") for stage in STAGES)]


def title(name: str) -> str:
    """As the reader sees it."""
    stage, _, what = name.partition("+")
    model = {"": "", "trained": ", reranked by MiniLM-L6 trained on MedQuAD", OTHER: f", reranked by {OTHER}"}
    return NAMES[stage] + model[what]


def told(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One trained model: what it was made with, and what the dev questions said."""
    training = {key: cell["training"][key] for key in ("steps", "validation", "objective", "settings", "seconds")}
    return {**{key: cell[key] for key in ("seed", "training_cpu_seconds", "commit")}, "training": training}


def finding(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the results page shows of a trained model's row."""
    stage = row["system"].partition("+")[0]
    pair = row["against"][stage]
    against = {
        "model": NAMES[stage],
        **{key: pair[key] for key in ("difference", "low", "high")},
        "p": pair["adjusted_p"],
    }
    found = {"system": "cross", "model": title(row["system"]), "data": DATA, "metric": METRIC, **row["metrics"][MAIN]}
    found |= {"queries": row["queries"], "command": COMMAND, "against": against}
    return found | {key: row[key] for key in ("seeds", "sd") if key in row}


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line a system."""
    columns = [
        "system",
        *(f"{metric} [95%]" for metric in SHOWN[:2]),
        "seeds ± sd",
        "− first stage [95%]",
        f"− {OTHER} [95%]",
    ]
    lines = []
    for row in rows:
        stage = row["system"].partition("+")[0]
        spread = f"{row['seeds']} ± {row['sd']:.4f}" if "sd" in row else "-"
        other = [gap(row["against"].get(name)) for name in (stage, f"{stage}+{OTHER}")]
        lines.append([title(row["system"]), *(around(row["metrics"].get(name)) for name in SHOWN[:2]), spread, *other])
    return Table(columns, lines)


def seed_table(seeds: Mapping[str, Sequence[Mapping[str, Any]]], pairs: Mapping[Any, Any]) -> Table:
    """A line a trained model and first stage."""
    lines = []
    for stage, found in seeds.items():
        for cell in found:
            dev, pair = cell["training"]["validation"], pairs[cell["cell"], stage]
            learned = f"{dev['start']:.3f} to {dev['best']:.3f}, step {dev['best_step']}"
            mean = number(fmean(cell["values"][MAIN].values()), 4)
            cpu = minutes(cell["training_cpu_seconds"])
            lines.append([f"{NAMES[stage]}, seed {cell['seed']}", learned, mean, gap(plain(pair)), cpu])
    return Table(["model", "dev MRR@10", "test nDCG@10", "− first stage [95%], p adjusted", "CPU minutes"], lines)


def caption(args: argparse.Namespace, questions: int) -> str:
    """How it was made."""
    return (
        f"{questions} of MedQuAD's 815 test questions, the best 50 answers of each first stage reranked; hybrid is "
        "BM25 and all-MiniLM-L6-v2 in int8, fused by rank. Trained from all-MiniLM-L6-v2's transformer with a head at "
        "random, on the diseases that the bi-encoders above were trained on: softmax over an answer and three of the "
        f"eight best wrong ones of hybrid search, {args.steps} steps of {args.batch_size} questions, {args.max_tokens} "
        f"tokens a pair, AdamW at {args.learning_rate:g}, {args.precision} on one CPU thread; the step kept is the "
        f"best on dev questions. Served in float32. {OTHER} was trained on MS MARCO, is twice as deep and reads 512 "
        "tokens. Intervals: 95% bootstrap over questions, each question's value being its mean over the seeds; "
        "differences are paired; p by randomisation, adjusted by Holm over all differences here."
    )
