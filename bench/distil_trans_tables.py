"""What bench/distil_trans.py records: Spearman's correlation of every model on every set, and what a cycle adds."""

import argparse
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import numpy as np
from distil_trans_cells import (
    BI,
    CROSS,
    LAYERS,
    MODES,
    SEEDS,
    SENTENCES,
    START_BATCH,
    START_RATE,
    START_STEPS,
    TOKENS,
    WAYS,
    Bench,
)  # fmt: skip
from numpy.typing import NDArray
from tables import Table

from retr.retrieval.evaluation.similarity import spearman

DRAWS = 1000
COMMAND = "python bench/distil_trans.py"
MEAN = "Mean of STS12-14 and SICK"
KINDS = ("bi", "cross", "bi, both")
GOAL, MARGIN = 1.0, 0.3
Values = NDArray[np.float64]
Cells = Mapping[tuple[str, str, int], Mapping[str, Any]]
Key = tuple[str, str, str]
"""Mode, way and kind; of a start its mode is `start`, and its way its layers."""


def result(bench: Bench, cells: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> dict[str, Any]:
    """Rows, findings, tables and caption of everything measured so far."""
    named: Cells = {(cell["mode"], cell["way"], cell["seed"]): cell for cell in cells}
    gold = {title: np.array([grade for _, _, grade in pairs]) for title, pairs in bench.tests.items()}
    rows = [row for key in keys() if (row := row_of(named, gold, key, bench.sources))]
    told = [figures(rows), gains(rows)]
    return {
        "rows": rows, "findings": [one for row in rows for one in findings(row, gold)],
        "title": "Trans-Encoder", "tables": [table.json() for table in told], "caption": caption(rows, cells, args),
        "plot_about": "losses of one cycle, and Spearman on the STS benchmark's test before, within and after it",
        "settings": {
            "cross": CROSS, "bi": BI, "layers": LAYERS, "tokens": TOKENS, "seeds": SEEDS,
            "start": {"steps": START_STEPS, "batch_size": START_BATCH, "rate": START_RATE, "texts": SENTENCES},
        },
    }  # fmt: skip


def keys() -> list[Key]:
    """Every mode, way and kind, and then the starts."""
    starts = [("start", str(layers), "bi") for layers in LAYERS]
    return [(mode, way, kind) for way in WAYS for mode in MODES for kind in KINDS] + starts


def row_of(
    cells: Cells, gold: Mapping[str, Values], key: Key, sources: Mapping[str, Sequence[str]]
) -> dict[str, Any] | None:
    """One model over its seeds: its correlations, and beside those of the starts of the same seeds, with intervals."""
    mode, way, kind = key
    seeds = [seed for seed in SEEDS if kind in cells.get((mode, way, seed), {}).get("says", {})]
    first = [seed for seed in seeds if ("start", str(LAYERS[0]), seed) in cells]
    if not seeds or seeds != first:
        return None
    says = [cells[mode, way, seed]["says"][kind] for seed in seeds]
    starts = [cells["start", str(LAYERS[0]), seed]["says"]["bi"] for seed in seeds]
    row: dict[str, Any] = {"mode": mode, "way": way, "kind": kind, "seeds": seeds, "sets": {}}
    drawn: list[tuple[Values, Values]] = []
    for title, wanted in ((title, gold[title]) for title in says[0]):
        own, before = (np.array([one[title] for one in some], np.float64) for some in (says, starts))
        drawn.append(draws(own, before, wanted, len(drawn)))
        values = [100 * spearman(one, wanted) for one in own]
        row["sets"][title] = told(values, [100 * spearman(one, wanted) for one in before], *drawn[-1])
    if len(drawn) < len(gold):
        return row
    others = [row["sets"][title] for title in list(gold)[1:]]
    together = [mean(one) for one in zip(*(one["values"] for one in others), strict=True)]
    befores = [mean(one) for one in zip(*(one["starts"] for one in others), strict=True)]
    scores, differences = (np.mean([one[place] for one in drawn[1:]], axis=0) for place in (0, 1))
    row["sets"][MEAN] = told(together, befores, scores, differences)
    row["within"] = within(says, starts, gold, sources)
    return row


def within(
    says: Sequence[Mapping[str, list[float]]], starts: Sequence[Mapping[str, list[float]]],
    gold: Mapping[str, Values], sources: Mapping[str, Sequence[str]],
) -> dict[str, Any]:  # fmt: skip
    """The mean of STS12-14 and SICK where each source is correlated by itself, by its pairs (SemEval's mean)."""
    kept: list[list[Values]] = [[], [], [], []]
    for title in list(gold)[1:]:
        names = np.array(sources[title])
        places = [np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())]
        shares = [len(some) / len(names) for some in places]
        parts = []
        for number, some in enumerate(places):
            own, before = (np.array([one[title] for one in side], np.float64)[:, some] for side in (says, starts))
            each = [[100 * spearman(one, gold[title][some]) for one in side] for side in (own, before)]
            parts.append((*each, *draws(own, before, gold[title][some], number)))
        for place, whole in enumerate(kept):
            whole.append(np.average([part[place] for part in parts], axis=0, weights=shares))
    means = [np.mean(one, axis=0) for one in kept]
    return told(means[0].tolist(), means[1].tolist(), means[2], means[3])


def draws(own: Values, before: Values, gold: Values, seed: int) -> tuple[Values, Values]:
    """[DRAWS] scores and differences to the start: pairs drawn with replacement, the mean over seeds."""
    rng = np.random.default_rng(seed)
    scores, differences = np.empty(DRAWS), np.empty(DRAWS)
    for turn in range(DRAWS):
        some = rng.integers(0, len(gold), len(gold))
        scores[turn] = mean(100 * spearman(one[some], gold[some]) for one in own)
        differences[turn] = scores[turn] - mean(100 * spearman(one[some], gold[some]) for one in before)
    return scores, differences


def told(values: list[float], starts: list[float], scores: Values, differences: Values) -> dict[str, Any]:
    """Every seed's, and 95% percentile intervals."""
    low, high = np.percentile(scores, [2.5, 97.5]).tolist()
    below, above = np.percentile(differences, [2.5, 97.5]).tolist()
    return {"values": values, "starts": starts, "low": low, "high": high, "below": below, "above": above}


def name_of(row: Mapping[str, Any]) -> str:
    """As a reader sees a model."""
    if row["mode"] == "start":
        how = "Mirror-BERT" if row["way"] == str(LAYERS[0]) else "SimCSE"
        return f"start, first {row['way']} layers of MiniLM-L6, {how}"
    kind = {"bi": "bi-encoder", "cross": "cross-encoder", "bi, both": "both bi-encoders' mean"}[row["kind"]]
    layers = {"bi": f" of {LAYERS[0]} layers", "cross": " of all layers"}.get(row["kind"], "")
    return f"{row['way']}, {row['mode']}, cycle 1, {kind}{layers}"


def findings(row: Mapping[str, Any], gold: Mapping[str, Values]) -> list[dict[str, Any]]:
    """Rows of docs/results.md."""
    found = []
    for title, one in row["sets"].items():
        pairs = len(gold[title]) if title in gold else None
        value = {
            "system": "trans-mutual" if row["way"] == "mutual" else "trans-self", "model": name_of(row), "data": title,
            "metric": "Spearman x100", "mean": mean(one["values"]), "low": one["low"], "high": one["high"],
            "queries": pairs, "seeds": len(row["seeds"]), "command": COMMAND,
        }  # fmt: skip
        if len(row["seeds"]) > 1:
            value["sd"] = stdev(one["values"])
        else:
            del value["seeds"]
        if row["mode"] != "start":
            added = mean(one["values"]) - mean(one["starts"])
            value["against"] = {
                "model": "its start", "difference": added, "low": one["below"], "high": one["above"], "p": None,
            }  # fmt: skip
        found.append(value)
    return found


def figures(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Every model on every set."""
    titles = list(dict.fromkeys(title for row in rows for title in row["sets"]))
    body = []
    for row in rows:
        means = {title: f"{mean(one['values']):.2f}" for title, one in row["sets"].items()}
        body.append([name_of(row), *(means.get(title, "") for title in titles), str(len(row["seeds"]))])
    return Table(["Spearman x100", *titles, "seeds"], body)


def gains(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What was added to the start of the same seeds."""
    body = []
    for row in (row for row in rows if row["mode"] != "start"):
        line = [name_of(row)]
        for one in (row["sets"].get("STS benchmark test"), row["sets"].get(MEAN), row.get("within")):
            added = mean(one["values"]) - mean(one["starts"]) if one else 0.0
            line.append("" if one is None else f"{added:+.2f} [{one['below']:+.2f}, {one['above']:+.2f}]")
        body.append(line)
    return Table(["against the start", "STS benchmark test", MEAN, "the same, each source by itself"], body)


def stages(bench: Bench, cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """For each mode and way the STS benchmark's test before, within and after the cycle, the seeds one by one."""
    named: Cells = {(cell["mode"], cell["way"], cell["seed"]): cell for cell in cells}
    title = "STS benchmark test"
    gold = np.array([grade for _, _, grade in bench.tests[title]])
    found: dict[str, dict[str, list[float]]] = {}
    for (mode, way, seed), cell in named.items():
        start = named.get(("start", str(LAYERS[0]), seed))
        if mode in MODES and start is not None:
            says = {"start": start["says"]["bi"], "cross": cell["says"]["cross"], "bi": cell["says"]["bi"]}
            for stage, one in says.items():
                line = found.setdefault(f"{way}, {mode}", {}).setdefault(stage, [])
                line.append(100 * spearman(np.array(one[title], np.float64), gold))
    return found


def caption(rows: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> str:
    """What was done, in a paragraph."""
    counts = {cell["mode"]: cell["pairs"] for cell in cells if cell["mode"] in MODES}
    said = " and ".join(f"{count:,} ({mode})" for mode, count in counts.items())
    return (
        f"The start is the first {LAYERS[0]} layers of all-MiniLM-L6-v2, mean pooling, after {START_STEPS} steps of "
        f"Mirror-BERT (batches of {START_BATCH}, {START_RATE:g}) on {SENTENCES:,} sentences of STS-B's training split. "
        f"The other model of the mutual way is its first {LAYERS[1]} layers with SimCSE in the same steps, which "
        "begins higher, and a part of what the first one gains is that. MiniLM is itself a supervised model; "
        "cutting layers off leaves headroom. Cross-encoders begin with all six layers of it "
        "under a new head (of two layers they learned next to nothing in 249 steps), so a part of what is gained may "
        f"come from the layers above. One cycle over {said} unlabelled pairs: strict takes those of training splits "
        "of STS-B, SICK and MRPC that stand in no test or dev split (without MRPC, whose news are like a part of "
        "STS12, a first trial lost there what it gained elsewhere), and the last step; paper draws from all splits and "
        "sets and lets STS-B's dev split pick the steps. "
        f"Cross-encoder: {CROSS['epochs']} epoch, both orders, batches of "
        f"{CROSS['batch_size']} at {CROSS['learning_rate']:g}; bi-encoder: {BI['epochs']} epochs in batches of "
        f"{BI['batch_size']} at {BI['learning_rate']:g}; trained in {args.precision}, measured in float32. Intervals: "
        "percentile bootstrap over test pairs, seeds averaged. STS12-14 are one set each, as in the paper; "
        "'each source by itself' is SemEval's mean, which does not ask that news and glosses be on one scale. "
        + judged(rows)
    )


def judged(rows: Sequence[Mapping[str, Any]]) -> str:
    """The goals, and whether they were met."""
    found = []
    added: dict[tuple[str, str], float] = {}
    for row in (row for row in rows if row["kind"] == "bi" and row["mode"] != "start"):
        both = [row["sets"][title] for title in ("STS benchmark test", MEAN)]
        each = [mean(one["values"]) - mean(one["starts"]) for one in both]
        met = "met" if min(each) >= GOAL else "not met"
        added[row["mode"], row["way"]] = mean(both[1]["values"])
        if row["way"] == "self":
            found.append(
                f"the goal of +{GOAL:.1f} on STS-B's test and on the mean of the others is {met} in {row['mode']}"
            )
    for mode in MODES:
        if (mode, "mutual") in added and (mode, "self") in added:
            met = "is" if added[mode, "mutual"] >= added[mode, "self"] - MARGIN else "is not"
            found.append(f"mutual {met} within {MARGIN} of self on the mean in {mode}")
    told = "; ".join(found)
    return f"{told[:1].upper()}{told[1:]}." if found else ""
