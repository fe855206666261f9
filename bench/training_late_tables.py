"""What training_late.py and training_chebi.py record: means with intervals, and differences over the same queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
from tables import Table, number
from training_medquad_tables import around, averaged, gap, minutes, plain

from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals
from retr.retrieval.evaluation.significance import CompareSettings, Pair, compare
from retr.retrieval.evaluation.significance.testing import holm

SEED = 0
HOW = (
    " Intervals: 95% bootstrap over queries, each one's value being its mean over the seeds; differences are paired; p "
    "by randomisation, adjusted by Holm over all differences here."
)

Cells = Mapping[str, Mapping[str, Any]]
Values = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class About:
    """What is compared: the `ways` by their names in cells, each to the `baseline`, by `metrics` as they are shown.

    `kinds` are the beginnings of queries' ids of which there are several kinds.
    """

    title: str
    data: str
    ways: Mapping[str, str]
    baseline: str
    metrics: Mapping[str, str]
    command: str
    caption: str
    kinds: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    """Ways that are no late interaction, to the system of the results page that they are."""


def result(cells: Cells, about: About) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    found = _whole({way: [cell for cell in cells.values() if cell["way"] == way] for way in about.ways})
    values = {way: averaged([cell["values"] for cell in each]) for way, each in found.items()}
    pairs = differences(values, about)
    rows = [row_of(way, found[way], values[way], pairs, about) for way in found]
    single = [cell for each in found.values() for cell in each if "seed" in cell]
    tables = [table(rows, about), *([kind_table(values, about)] if about.kinds else []), seed_table(single, about)]
    return {
        "title": about.title,
        "rows": rows,
        "cells": [told(cell) for cell in single],
        "findings": [one for row in rows for one in findings(row, about)],
        "tables": [one.json() for one in tables],
        "caption": about.caption + HOW,
    }


def _whole(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Mapping[str, Any]]]:
    """Of the ways that were trained the seeds that all of them have, so that each is the mean of the same ones."""
    seeds = [{cell["seed"] for cell in each} for each in found.values() if each and "seed" in each[0]]
    common = set.intersection(*seeds) if seeds else set()
    kept = {way: [cell for cell in each if cell.get("seed") in {None, *common}] for way, each in found.items()}
    return {way: sorted(each, key=lambda cell: cell.get("seed", 0)) for way, each in kept.items() if each}


def differences(values: Mapping[str, Values], about: About) -> dict[tuple[str, str], Pair]:
    """Of each way and metric to the baseline, over the same queries."""
    found: dict[tuple[str, str], Pair] = {}
    if about.baseline not in values:
        return {}
    for way in (way for way in values if way != about.baseline):
        for metric in about.metrics:
            both = {one: {"value": values[one][metric]} for one in (about.baseline, way)}
            found[way, metric] = compare(both, settings=CompareSettings(seed=SEED)).pairs[0]
    adjusted = holm(np.array([pair.p for pair in found.values()])) if found else []
    return {key: replace(pair, adjusted_p=float(p)) for (key, pair), p in zip(found.items(), adjusted, strict=True)}


def row_of(
    way: str, cells: Sequence[Mapping[str, Any]], values: Values, pairs: Mapping[Any, Pair], about: About
) -> dict[str, Any]:
    """Means, intervals over queries, the spread of the seeds, and the difference to the baseline."""
    ends = mean_intervals({metric: values[metric] for metric in about.metrics}, IntervalSettings(seed=SEED))
    row: dict[str, Any] = {"way": way, "seeds": len(cells) if "seed" in cells[0] else 0, "metrics": {}}
    for metric in about.metrics:
        each = values[metric]
        one = {"mean": fmean(each.values()), "low": ends[metric][0], "high": ends[metric][1], "n": len(each)}
        if len(cells) > 1:
            one["sd"] = stdev(fmean(cell["values"][metric].values()) for cell in cells)
        pair = pairs.get((way, metric))
        row["metrics"][metric] = one | ({"against": plain(pair)} if pair else {})
    return row


def findings(row: Mapping[str, Any], about: About) -> list[dict[str, Any]]:
    """What the results page shows of a row."""
    found = []
    for metric, one in row["metrics"].items():
        system = about.others.get(row["way"], "late")
        finding = {"system": system, "model": about.ways[row["way"]], "data": about.data}
        finding |= {"metric": about.metrics[metric], "command": about.command, "queries": one["n"]}
        finding |= {key: one[key] for key in ("mean", "low", "high")}
        if "sd" in one:
            finding |= {"seeds": row["seeds"], "sd": one["sd"]}
        if "against" in one:
            pair = one["against"]
            finding["against"] = {"model": about.ways[about.baseline], "p": pair["adjusted_p"]}
            finding["against"] |= {key: pair[key] for key in ("difference", "low", "high")}
        found.append(finding)
    return found


def told(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One trained model: what it was made with, and its means."""
    training = {key: cell["training"][key] for key in ("steps", "objective", "settings", "seconds")}
    means = {metric: fmean(values.values()) for metric, values in cell["values"].items()}
    kept = {key: cell[key] for key in ("way", "seed", "training_cpu_seconds", "commit")}
    return {**kept, "training": training, "means": means}


def table(rows: Sequence[Mapping[str, Any]], about: About) -> Table:
    """A line a way."""
    lines = []
    for row in rows:
        each = [row["metrics"][metric] for metric in about.metrics]
        spread = f"{row['seeds']} ± {each[0]['sd']:.4f}" if "sd" in each[0] else "-"
        shown = [cell for one in each for cell in (around(one), gap(one.get("against")))]
        lines.append([about.ways[row["way"]], *shown, spread])
    columns = [
        name for metric in about.metrics.values() for name in (f"{metric} [95%]", "− one vector, trained [95%], p")
    ]
    return Table([about.data, *columns, "seeds ± sd"], lines)


def kind_table(values: Mapping[str, Values], about: About) -> Table:
    """A line a way, a column a kind of query and metric."""
    metrics = list(about.metrics.items())
    lines = [
        [
            about.ways[way],
            *(
                number(fmean(value for id, value in found[metric].items() if id.startswith(f"{kind}-")), 3)
                for kind in about.kinds
                for metric, _ in metrics
            ),
        ]
        for way, found in values.items()
    ]
    return Table(["", *(f"{kind}: {shown}" for kind in about.kinds for _, shown in metrics)], lines)


def seed_table(cells: Sequence[Mapping[str, Any]], about: About) -> Table:
    """A line a trained model."""
    lines = []
    for cell in cells:
        means = [number(fmean(cell["values"][metric].values()), 4) for metric in about.metrics]
        lines.append([f"{about.ways[cell['way']]}, seed {cell['seed']}", *means, minutes(cell["training_cpu_seconds"])])
    return Table(["model", *about.metrics.values(), "CPU minutes"], lines)
