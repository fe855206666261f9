"""What `bench/adapt.py` recorded, as tables and rows of the results page."""

import argparse
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from recording import plain
from tables import Table, number

from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals
from retr.retrieval.evaluation.significance import CompareSettings, Pair, compare

METRIC, NAME = "nDCG@10", "ndcg@10"
DATA = {"cisi": "cisi", "scifact": "SciFact test", "cranfield": "cranfield"}
BEFORE = "all-MiniLM-L6-v2 in float32, before `retr adapt`"
AFTER = "all-MiniLM-L6-v2 adapted to the corpus, `retr adapt`"
COMMAND = "python bench/adapt.py"
SEED = 0

Cell = Mapping[str, Any]


def result(cells: Sequence[Cell], args: argparse.Namespace) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    sets = {name: [cell for cell in cells if cell["set"] == name] for name in dict.fromkeys(c["set"] for c in cells)}
    rows = [row for name, found in sets.items() for row in rows_of(name, found)]
    return {
        "title": "Adapting an encoder without labels",
        "rows": rows,
        "cells": plain([{key: value for key, value in cell.items() if key != "values"} for cell in cells]),
        "values": {cell["cell"]: cell["values"] for cell in cells},
        "findings": [finding(row) for row in rows],
        "tables": [table(rows).json(), seed_table(cells).json()],
        "caption": caption(args),
    }


def rows_of(name: str, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Before and after, each query averaged over the seeds, with the paired difference."""
    before = cells[0]["values"]["before"]
    after = {id: fmean(cell["values"]["after"][id] for cell in cells) for id in before}
    both = {BEFORE: before, AFTER: after}
    ends = mean_intervals(both, IntervalSettings(seed=SEED))
    systems = {model: {NAME: values} for model, values in both.items()}
    (pair,) = compare(systems, settings=CompareSettings(seed=SEED)).pairs
    rows: list[dict[str, Any]] = [
        {"set": name, "model": model, "queries": len(values), "mean": fmean(values.values()),
         "low": ends[model][0], "high": ends[model][1]}
        for model, values in both.items()
    ]  # fmt: skip
    rows[1]["against"] = against(pair)
    rows[1]["recommended"] = [cell["record"]["recommended"] for cell in cells]
    if len(cells) > 1:
        rows[1] |= {"seeds": len(cells), "sd": stdev(fmean(cell["values"]["after"].values()) for cell in cells)}
    return rows


def against(pair: Pair) -> dict[str, Any]:
    """After less before."""
    return {
        "model": "itself before",
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "p": pair.p,
    }


def finding(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the results page shows of a row."""
    kept = ("model", "mean", "low", "high", "queries", "seeds", "sd", "against")
    told = {key: row[key] for key in kept if key in row}
    return {"system": "bi", "data": DATA[row["set"]], "metric": METRIC, "command": COMMAND, **told}


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line an encoder and set."""
    columns = ["set", "encoder", "queries", METRIC, "95% interval", "difference", "95% interval of it", "p", "seeds"]
    return Table(columns, [_line(row) for row in rows])


def _line(row: Mapping[str, Any]) -> list[str]:
    line = [DATA[row["set"]], row["model"], number(row["queries"], 0), number(row["mean"], 4)]
    line.append(f"{row['low']:.4f} to {row['high']:.4f}")
    if "against" not in row:
        return [*line, "-", "-", "-", "-"]
    pair = row["against"]
    ends = f"{pair['low']:+.4f} to {pair['high']:+.4f}"
    return [*line, f"{pair['difference']:+.4f}", ends, number(pair["p"], 4), str(row.get("seeds", 1))]


def seed_table(cells: Sequence[Cell]) -> Table:
    """What the command itself said in each run."""
    columns = ["set", "seed", "rows", "before", "after", "difference", "p", "recommended", "CPU seconds"]
    return Table(columns, [_seed_line(cell) for cell in cells])


def _seed_line(cell: Cell) -> list[str]:
    record, found = cell["record"], cell["record"]["judged"]
    return [
        DATA[cell["set"]], str(cell["seed"]), number(record["counts"]["rows"], 0), number(found["before"]["mean"], 4),
        number(found["after"]["mean"], 4), f"{found['difference']['mean']:+.4f}", number(found["difference"]["p"], 4),
        "yes" if record["recommended"] else "no", number(cell["cpu_seconds"], 0),
    ]  # fmt: skip


def caption(args: argparse.Namespace) -> str:
    """What was done, in one paragraph."""
    return (
        f"`retr adapt` with a cross-encoder (ms-marco-MiniLM-L-12-v2, int8) as the teacher, listwise-kl, {args.steps} "
        f"steps of {args.batch_size} pairs with up to {args.negatives} near passages each, {args.max_tokens} tokens of "
        f"a text read in training, {args.precision}. Pairs are sentences and titles of the set's own documents; its "
        "queries and judgements are used to measure alone. Dense search, every vector scored, texts cut as by `retr "
        "index`. Intervals: bootstrap over queries, each averaged over the seeds first; p: paired randomisation test, "
        "two-sided."
    )
