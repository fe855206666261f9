"""What training_filip.py records: means with intervals, differences over the same scenes or emoji, costs of a step."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
from tables import Table, number
from training_medquad_tables import around, averaged, gap, minutes, plain

from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals
from retr.retrieval.evaluation.significance import CompareSettings, Pair, compare
from retr.retrieval.evaluation.significance.testing import holm

SEED = 0
COMMAND = "python bench/training_filip.py"
BASELINE = "global"
ASKED = {"sets": ["scenes", "emoji"], "seeds": [1, 2, 3], "steps": 600}
"""What a run without words asks for."""
TITLES = {
    "tokens": "FILIP, small towers from nothing",
    "global": "CLIP's loss, one vector each, small towers from nothing",
    "quarter": "FILIP with a quarter of the tokens, small towers from nothing",
}
SHORT = {
    "global": "CLIP's loss",
    "tokens": "FILIP",
    "quarter": "FILIP, a quarter of the tokens",
    "plain": "FILIP, plain",
}
DATA = {"scenes": "Drawn scenes, held out", "emoji": "Emoji, test"}
METRICS = {
    "i2t@1": ("image to text", "R@1"),
    "i2t@5": ("image to text", "R@5"),
    "t2i@1": ("text to image", "R@1"),
    "t2i@5": ("text to image", "R@5"),
    "cell": ("", "shape's word in its cell"),
    "swap": ("", "own caption above colours exchanged"),
}
EMOJI = (
    "Emoji: two styles of 1,532 to train on, with three captions each, and 191 held out by name; 48 pixels, each style "
    "a pool of its own, the mean of both. "
)

Cells = Mapping[str, Mapping[str, Any]]


def result(cells: Cells, args: argparse.Namespace) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    rows = [row for name in DATA for row in rows_of(name, cells)]
    times = cells["times"]["times"] if "times" in cells else {}
    tables = [table(name, rows) for name in DATA if any(row["set"] == name for row in rows)]
    seeds = [cell for cell in cells.values() if "way" in cell]
    pictured = {"picture": args.picture.name} if args.picture and draw(cells, args) else {}
    return {
        "title": "FILIP beside the global loss",
        "rows": rows,
        "cells": [told(cell) for cell in seeds],
        "times": times,
        "findings": [one for row in rows for one in findings(row, command(args))],
        "tables": [one.json() for one in [*tables, seed_table(seeds), *([time_table(times)] if times else [])]],
        "caption": caption(cells, args),
        **pictured,
    }


def rows_of(name: str, cells: Cells) -> list[dict[str, Any]]:
    """A row a way: means over the seeds that every way has, and the differences to the global loss."""
    found = {way: [c for c in cells.values() if (c.get("set"), c.get("way")) == (name, way)] for way in TITLES}
    found = {way: each for way, each in found.items() if each}
    if BASELINE not in found:
        return []
    values = {way: averaged([cell["values"] for cell in each]) for way, each in found.items()}
    pairs = differences(values)
    rows = []
    for way, each in found.items():
        ends = mean_intervals(values[way], IntervalSettings(seed=SEED))
        row: dict[str, Any] = {"set": name, "way": way, "seeds": len(each), "metrics": {}}
        for metric, by_id in values[way].items():
            told = {"mean": fmean(by_id.values()), "low": ends[metric][0], "high": ends[metric][1], "n": len(by_id)}
            if len(each) > 1:
                told["sd"] = stdev(fmean(cell["values"][metric].values()) for cell in each)
            pair = pairs.get((way, metric))
            row["metrics"][metric] = told | ({"against": plain(pair)} if pair else {})
        rows.append(row)
    return rows


def differences(values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[tuple[str, str], Pair]:
    """Of each way and metric to the global loss, over the same queries; p adjusted over all of a set (Holm)."""
    found: dict[tuple[str, str], Pair] = {}
    for way in (way for way in values if way != BASELINE):
        for metric in values[way]:
            both = {one: {"value": values[one][metric]} for one in (BASELINE, way)}
            found[way, metric] = compare(both, settings=CompareSettings(seed=SEED)).pairs[0]
    if not found:
        return {}
    adjusted = holm(np.array([pair.p for pair in found.values()]))
    return {key: replace(pair, adjusted_p=float(p)) for (key, pair), p in zip(found.items(), adjusted, strict=True)}


def command(args: argparse.Namespace) -> str:
    """What gives the same again: all that is not as the command line has it by itself."""
    changed = {name: value for name, value in vars(args).items() if name in ASKED and value != ASKED[name]}
    words = [
        f"--{name} {' '.join(map(str, value if isinstance(value, list) else [value]))}"
        for name, value in changed.items()
    ]
    return " ".join([COMMAND, *words])


def told(cell: Mapping[str, Any]) -> dict[str, Any]:
    """One trained model: what it was made with, and its means."""
    training = {key: cell["training"][key] for key in ("steps", "objective", "settings", "seconds")}
    means = {metric: fmean(values.values()) for metric, values in cell["values"].items()}
    kept = {key: cell[key] for key in ("set", "way", "seed", "temperature", "training_cpu_seconds", "commit")}
    return {**kept, "training": training, "means": means}


def findings(row: Mapping[str, Any], asked: str) -> list[dict[str, Any]]:
    """What the results page shows of a row."""
    found = []
    for metric, one in row["metrics"].items():
        way, shown = METRICS[metric]
        data = DATA[row["set"]] + (f": {way}" if way else "")
        finding = {"system": "filip", "model": TITLES[row["way"]], "data": data, "metric": shown, "command": asked}
        finding |= {key: one[key] for key in ("mean", "low", "high")} | {"queries": one["n"]}
        if "sd" in one:
            finding |= {"seeds": row["seeds"], "sd": one["sd"]}
        if "against" in one:
            pair = one["against"]
            finding["against"] = {"model": SHORT[BASELINE], "p": pair["adjusted_p"]}
            finding["against"] |= {key: pair[key] for key in ("difference", "low", "high")}
        found.append(finding)
    return found


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line a way and metric."""
    lines = []
    for row in (row for row in rows if row["set"] == name):
        for metric, one in row["metrics"].items():
            shown = " ".join(filter(None, METRICS[metric]))
            spread = f"{row['seeds']} ± {one['sd']:.4f}" if "sd" in one else f"{row['seeds']}"
            lines.append([SHORT[row["way"]], shown, around(one), spread, gap(one.get("against"))])
    columns = [DATA[name], "measure", "mean [95%]", "seeds ± sd", "− CLIP's loss [95%], p adjusted"]
    order = [" ".join(filter(None, names)) for names in METRICS.values()]
    return Table(columns, sorted(lines, key=lambda line: order.index(line[1])))


def seed_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    """A line a trained model."""
    lines = []
    for cell in cells:
        means = [number(fmean(cell["values"][metric].values()), 3) for metric in ("i2t@1", "t2i@1")]
        name = f"{cell['set']}, {SHORT[cell['way']]}, seed {cell['seed']}"
        where = cell["values"].get("cell")
        cost = minutes(cell["training_cpu_seconds"])
        looked = number(fmean(where.values()) if where else None, 3)
        lines.append([name, *means, looked, number(cell["temperature"], 3), cost])
    return Table(
        ["model", "image to text R@1", "text to image R@1", "in its cell", "temperature", "CPU minutes"], lines
    )


def time_table(times: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """A line a way, a column a batch size."""
    sizes = list(times)
    lines = [
        [
            SHORT[way],
            *(f"{1000 * times[size][way]['seconds']:.0f} ms, {times[size][way]['ratio']:.2f}" for size in sizes),
        ]
        for way in times[sizes[0]]
    ]
    return Table(["a step, CPU; to CLIP's loss", *(f"{size} rows" for size in sizes)], lines)


def draw(cells: Cells, args: argparse.Namespace) -> bool:
    """Where the first seed's models look at the first held-out scene with three shapes of its own, as a PNG."""
    from training_filip_data import read_lines

    from retr.encoders.images.drawing import draw_alignments
    from retr.encoders.images.pixels import open_image
    from retr.encoders.trainable.images.aligning import align
    from retr.encoders.trainable.images.opening import FilipSettings, open_filip

    seed = args.seeds[0]
    names = [f"scenes-{way}-{seed}" for way in ("tokens", BASELINE)]
    if any(name not in cells for name in names):
        return False
    folder = args.work / "scenes"
    lines = read_lines(folder / "test.jsonl")
    line = next(line for line in lines if len({one["shape"] for one in line["objects"]}) == len(line["objects"]) == 4)
    found = []
    for name, way in zip(names, ("tokens", BASELINE), strict=True):
        student = open_filip(args.work / "models" / name, FilipSettings(images=folder / "images"))
        found.append((SHORT[way], align(student, line["image"], line["caption"])))
    words = [one["shape"] for one in line["objects"]]
    draw_alignments(open_image(line["image"], folder / "images"), found, words, args.picture)
    return True


def caption(cells: Cells, args: argparse.Namespace) -> str:
    """How it was made."""
    known = args.work / "scenes" / "data.json"
    floor = json.loads(known.read_text(encoding="utf-8"))["any_object"] if known.exists() else float("nan")
    alone = " With one seed they tell of these models alone." if len(args.seeds) == 1 else ""
    emoji = EMOJI if any(cell.get("set") == "emoji" for cell in cells.values()) else ""
    return (
        "Drawn scenes: 6,000 to train on and 512 held out, 3 to 5 objects of 2 sizes, 8 colours and 7 shapes on a "
        "grid of 3 x 3, 48 pixels; no set of objects is in both. "
        f"{emoji}Towers from nothing: CLIP's of 2 layers, 96 wide, patches of {args.patch} pixels, vectors of 64; "
        f"{args.steps} steps of {args.batch_size} pairs, AdamW at {args.learning_rate:g}, cosine; the temperature is "
        f"learnt from 0.07. Seeds {', '.join(map(str, args.seeds))}: each draws the weights and the batches, alike for "
        "every loss. In its cell: the patch most like the word of a shape that is in the scene once lies in its "
        f"object's cell (chance 1 in 9, and {floor:.2f} where any object is pointed at); the model with one vector is "
        "looked at through its projections of patches and words. Colours "
        "exchanged: the scene is more like its caption than like one with two colours exchanged (chance 1 in 2). "
        "Intervals: 95% bootstrap over images or captions, each one's value being its mean over the seeds; differences "
        f"are paired; p by randomisation, adjusted by Holm over all of a set.{alone} A step's time is CPU time on one "
        "thread of a whole step on scenes, from files to new weights, the median of rounds in which the losses take "
        "turns."
    )
