"""What training on MedQuAD brought: means with intervals, differences over the same questions, the rows of the page."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
from tables import Table, number

from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals
from retr.retrieval.evaluation.significance import CompareSettings, Pair, compare
from retr.retrieval.evaluation.significance.testing import holm

MAIN = "ndcg@10"
SHOWN = (MAIN, "mrr@10", "recall@100")
DATA, METRIC = "MedQuAD test", "nDCG@10"
SEED = 0
TITLES = {
    "bm25": "BM25",
    "start": "all-MiniLM-L6-v2, as it comes",
    "start-cut": "all-MiniLM-L6-v2, reading 128 tokens of a text as the trained ones",
    "pairs": "all-MiniLM-L6-v2 trained on MedQuAD, in-batch negatives",
    "hard": "all-MiniLM-L6-v2 trained on MedQuAD, a mined negative each",
}
VARIANTS = ("pairs", "hard")
BASELINES = ("start-cut", "start", "bm25")
"""The first is the one that differs from the trained ones by training alone: it reads as much of a text as they do."""
COMPARED = (("start-cut", "start"), ("hard", "pairs"), *((name, base) for name in VARIANTS for base in BASELINES))
COMMAND = "python bench/training_medquad.py"

Values = Mapping[str, float]
Cells = Mapping[str, Mapping[str, Any]]


def result(cells: Cells, args: argparse.Namespace) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    seeds = {name: [cell for cell in cells.values() if cell.get("variant") == name] for name in VARIANTS}
    values = {name: cells[name]["values"] for name in ("bm25", "start", "start-cut") if name in cells}
    values |= {name: averaged([cell["values"] for cell in found]) for name, found in seeds.items() if found}
    single = {cell["cell"]: cell["values"] for found in seeds.values() for cell in found}
    wanted = [*COMPARED, *((cell, BASELINES[0]) for cell in single)]
    pairs = differences({**values, **single}, wanted)
    rows = [
        row_of(name, found, [one["values"] for one in seeds.get(name, ())], pairs) for name, found in values.items()
    ]
    data = json.loads((args.work / "data.json").read_text(encoding="utf-8"))
    return {
        "title": "A bi-encoder trained on MedQuAD",
        "data": data,
        "rows": rows,
        "cells": [told(cell) for found in seeds.values() for cell in found],
        # BM25 stands on the page already, by the bench of retrieval over the same questions.
        "findings": [finding(row) for row in rows if row["system"] != "bm25"],
        "values": listed({**values, **single}),
        "tables": [table(rows).json(), seed_table(seeds, pairs).json()],
        "caption": caption(data, args),
    }


def averaged(seeds: Sequence[Mapping[str, Values]]) -> dict[str, dict[str, float]]:
    """{metric: {question: its mean over the seeds}}."""
    return {metric: {id: fmean(one[metric][id] for one in seeds) for id in seeds[0][metric]} for metric in seeds[0]}


def differences(
    values: Mapping[str, Mapping[str, Values]], wanted: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Pair]:
    """Of each (system, baseline) that is there, over the same questions; p adjusted over all of them (Holm)."""
    found: dict[tuple[str, str], Pair] = {}
    for system, baseline in wanted:
        if system in values and baseline in values:
            both = {name: {MAIN: values[name][MAIN]} for name in (baseline, system)}
            found[system, baseline] = compare(both, settings=CompareSettings(seed=SEED)).pairs[0]
    if not found:
        return {}
    adjusted = holm(np.array([pair.p for pair in found.values()]))
    return {key: replace(pair, adjusted_p=float(p)) for (key, pair), p in zip(found.items(), adjusted, strict=True)}


def row_of(
    name: str, values: Mapping[str, Values], seeds: Sequence[Mapping[str, Values]], pairs: Mapping[Any, Pair]
) -> dict[str, Any]:
    """Means, intervals over questions, the spread of the seeds, and the differences to others."""
    ends = mean_intervals(values, IntervalSettings(seed=SEED))
    metrics = {
        metric: {"mean": fmean(each.values()), "low": ends[metric][0], "high": ends[metric][1]}
        for metric, each in values.items()
    }
    row: dict[str, Any] = {"system": name, "queries": len(values[MAIN]), "metrics": metrics}
    if len(seeds) > 1:
        row |= {"seeds": len(seeds), "sd": stdev(fmean(one[MAIN].values()) for one in seeds)}
    row["against"] = {baseline: plain(pair) for (system, baseline), pair in pairs.items() if system == name}
    return row


def measured_finding(row: Mapping[str, Any], baseline: str, titles: Mapping[str, str]) -> dict[str, Any]:
    """What the results page takes from a row: its main metric, its seeds, the difference to one baseline, if any."""
    found = {"metric": "nDCG@10", **row["metrics"][MAIN], "queries": row["queries"]}
    found |= {key: row[key] for key in ("seeds", "sd") if key in row}
    pair = row["against"].get(baseline)
    if pair:
        about = {key: pair[key] for key in ("difference", "low", "high")}
        found["against"] = {"model": titles[baseline], **about, "p": pair["adjusted_p"]}
    return found


def plain(pair: Pair) -> dict[str, Any]:
    """A difference as JSON."""
    keys = ("difference", "low", "high", "p", "adjusted_p", "wins", "ties", "losses")
    return {key: getattr(pair, key) for key in keys}


def told(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One trained model: what it was made with, and what the dev questions said."""
    kept = {key: cell[key] for key in ("cell", "variant", "seed", "training_cpu_seconds", "cpu_seconds", "commit")}
    training = {key: cell["training"][key] for key in ("steps", "validation", "objective", "settings", "seconds")}
    rows = {key: value for key, value in cell["training"]["rows"].items() if key != "sha256"}
    return {**kept, "training": {**training, "rows": rows}, "mean": fmean(cell["values"][MAIN].values())}


def finding(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the results page shows of a row."""
    name = row["system"]
    found: dict[str, Any] = {
        "system": "bi",
        "model": TITLES[name],
        "data": DATA,
        "metric": METRIC,
    }
    found |= {**row["metrics"][MAIN], "queries": row["queries"], "command": COMMAND}
    found |= {key: row[key] for key in ("seeds", "sd") if key in row}
    if BASELINES[0] in row["against"]:
        pair = row["against"][BASELINES[0]]
        found["against"] = {
            "model": "its start, read alike",
            **{key: pair[key] for key in ("difference", "low", "high")},
        }
        found["against"]["p"] = pair["adjusted_p"]
    return found


def listed(values: Mapping[str, Mapping[str, Values]]) -> dict[str, Any]:
    """Every question's nDCG@10: ids once, a list a system."""
    ids = list(next(iter(values.values()))[MAIN])
    rounded = {name: [round(found[MAIN][id], 5) for id in ids] for name, found in values.items()}
    return {"queries": " ".join(ids), MAIN: rounded}


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line a system."""
    columns = ["system", *(f"{metric} [95%]" for metric in SHOWN), "seeds ± sd"]
    columns += [f"− {name} [95%]" for name in ("start, read alike", "start as it comes", "BM25")]
    lines = []
    for row in rows:
        spread = f"{row['seeds']} ± {row['sd']:.4f}" if "sd" in row else "-"
        other = [gap(row["against"].get(name)) for name in BASELINES]
        lines.append([TITLES[row["system"]], *(around(row["metrics"].get(name)) for name in SHOWN), spread, *other])
    return Table(columns, lines)


def seed_table(seeds: Mapping[str, Sequence[Mapping[str, Any]]], pairs: Mapping[Any, Pair]) -> Table:
    """A line a trained model."""
    lines = []
    for cell in (cell for found in seeds.values() for cell in found):
        told, pair = cell["training"], pairs.get((cell["cell"], BASELINES[0]))
        dev = told["validation"]
        learned = f"{dev['start']:.3f} to {dev['best']:.3f}, step {dev['best_step']}"
        mean = number(fmean(cell["values"][MAIN].values()), 4)
        cpu = minutes(cell["training_cpu_seconds"])
        lines.append([cell["cell"], learned, mean, gap(plain(pair) if pair else None), cpu])
    return Table(
        ["model", "dev nDCG@10", "test nDCG@10", "− start, read alike [95%], p adjusted", "CPU minutes"], lines
    )


def around(found: Mapping[str, float] | None) -> str:
    """A mean and its interval."""
    return f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if found else "-"


def gap(pair: Mapping[str, float] | None) -> str:
    """A difference, its interval and its adjusted p."""
    if pair is None:
        return "-"
    return f"{pair['difference']:+.4f} [{pair['low']:+.4f}, {pair['high']:+.4f}], p {pair['adjusted_p']:.2g}"


def minutes(seconds: float | None) -> str:
    """Of training and its validations; a dash where it was cut off and gone on with."""
    return number(None if seconds is None else seconds / 60, 1)


def caption(data: Mapping[str, Any], args: argparse.Namespace) -> str:
    """How it was made."""
    checks = data["checks"]
    return (
        f"MedQuAD: 815 test questions over all 15,790 answers. Of its {data['train_pairs']:,} pairs to train on, "
        f"{data['used_pairs']:,} are used: those of a disease whose name contains or is contained in that of one of "
        f"the {checks['held_out_diseases']:,} held-out diseases are left out, as are held-out answers, also as "
        f"negatives; {checks['diseases']:,} diseases remain, {checks['in_both']} of them held out. InfoNCE at a "
        f"temperature of {args.temperature:g}; "
        f"{args.steps} steps of 64 answers (64 questions, or 32 and a mined negative each), "
        f"{args.max_tokens} tokens a text, AdamW at {args.learning_rate:g}, {args.precision} on one CPU thread. The "
        "step kept is the best of the dev questions over the dev answers. Each model runs in float32 and is asked "
        "through retr's own search. Intervals: 95% bootstrap over questions, each question's value being its mean over "
        "the seeds; differences are paired; p by randomisation, adjusted by Holm over all differences here."
    )
