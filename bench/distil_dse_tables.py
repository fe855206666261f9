"""What bench/distil_dse.py records: the share of the teacher's score that students keep, with intervals; the times."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

import numpy as np
from distil_dse_cells import BATCH, EPOCHS, MAX_TOKENS, RATES, SEEDS, TASKS, VARIANTS, answers, score
from numpy.typing import NDArray
from tables import Table, number

from retr.retrieval.evaluation.similarity import evaluate_similarity

DRAWS = 2000
DATA = {"stsb": "STS benchmark test", "mrpc": "MRPC test", "sick": "SICK test"}
NAMES = {
    "teacher": "Cross-encoder from MiniLM-L6, the teacher",
    "concat-0.5": "Distilled Sentence Embedding, MiniLM-L6, head concat",
    "concat-0": "Distilled Sentence Embedding, head concat, labels alone",
    "dot-0.5": "Distilled Sentence Embedding, MiniLM-L6, head dot",
}
COMMAND = "python bench/distil_dse.py"
KEEP = 0.95

Values = NDArray[Any]


def result(found: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Rows, findings, tables and caption of everything measured so far."""
    cells = {(cell["task"], cell["what"], cell["seed"]): cell for cell in found["cells"]}
    rows = [row for task in TASKS for what in NAMES if (row := row_of(cells, task, what))]
    tables = [quality(rows)] + ([times(found["times"])] if found["times"] else [])
    return {
        "rows": rows, "times": found["times"], "findings": findings(rows),
        "title": "Distilled Sentence Embedding", "tables": [table.json() for table in tables],
        "caption": caption(rows, args),
        "settings": {"batch_size": BATCH, "epochs": EPOCHS, "max_tokens": MAX_TOKENS, "rates": RATES, "seeds": SEEDS},
    }  # fmt: skip


def row_of(cells: Mapping[Any, Any], task: str, what: str) -> dict[str, Any] | None:
    """One model on one task: its seeds' scores, and those of its teachers of the same seeds with what is kept."""
    seeds = [seed for seed in SEEDS if (task, what, seed) in cells and (task, "teacher", seed) in cells]
    if not seeds:
        return None
    gold = np.array(cells[task, what, seeds[0]]["gold"])
    own, taught = ([np.array(cells[task, name, seed]["test"]) for seed in seeds] for name in (what, "teacher"))
    metrics = METRICS[task]
    row: dict[str, Any] = {"task": task, "what": what, "seeds": len(seeds), "pairs": len(gold), "metrics": {}}
    row["rates"] = sorted({cells[task, what, seed]["rate"] for seed in seeds})
    row["cpu_seconds"] = [cells[task, what, seed]["cpu_seconds"] for seed in seeds]
    for name, metric in metrics.items():
        values = [100 * metric(task, logits, gold) for logits in own]
        goals = [100 * metric(task, logits, gold) for logits in taught]
        row["metrics"][name] = {"values": values, "teachers": goals, **drawn(task, metric, own, taught, gold)}
        floor = 100 * most_frequent(task, metric, gold)
        row["metrics"][name] |= {"kept": mean(values) / mean(goals), "most_frequent": floor}
    return row


def drawn(
    task: str,
    metric: Callable[[str, Values, Values], float],
    own: Sequence[Values],
    taught: Sequence[Values],
    gold: Values,
) -> dict[str, Any]:
    """95% intervals, percentile bootstrap over test pairs, seeds averaged: of score, difference and share."""
    rng = np.random.default_rng(0)
    scores, goals = [], []
    for _ in range(DRAWS):
        some = rng.integers(0, len(gold), len(gold))
        scores.append(mean(100 * metric(task, logits[some], gold[some]) for logits in own))
        goals.append(mean(100 * metric(task, logits[some], gold[some]) for logits in taught))
    one, other = np.array(scores), np.array(goals)
    interval = {"score": one, "difference": one - other, "share": one[other > 0] / other[other > 0]}
    return {f"{name}_interval": np.percentile(values, [2.5, 97.5]).tolist() for name, values in interval.items()}


def most_frequent(task: str, metric: Callable[[str, Values, Values], float], gold: Values) -> float:
    """The metric of always giving the most frequent answer; 0 for a correlation."""
    if task == "stsb":
        return 0.0
    values, counts = np.unique(gold, return_counts=True)
    said = int(values[counts.argmax()])
    logits = np.zeros((len(gold), TASKS[task].outputs))
    logits[:, said if task == "sick" else 0] = 1.0 if task == "sick" or said else -1.0
    return metric(task, logits, gold)


def f1(task: str, logits: Values, gold: Values) -> float:
    """Of the paraphrases, at the fixed threshold of one half."""
    said = answers(task, logits)
    right = float((said & (gold == 1)).sum())
    return 2 * right / max(float(said.sum() + (gold == 1).sum()), 1.0)


def pearson(task: str, logits: Values, gold: Values) -> float:
    """Of the grades."""
    return float(evaluate_similarity(logits[:, 0].astype(np.float64), gold).means["pearson"])


METRICS: Mapping[str, Mapping[str, Callable[[str, Values, Values], float]]] = {
    "stsb": {"Spearman x100": score, "Pearson x100": pearson},
    "mrpc": {"accuracy x100": score, "F1 x100": f1},
    "sick": {"accuracy x100": score},
}
"""The first one decides whether enough is kept."""


def findings(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of docs/results.md."""
    found = []
    for row in rows:
        for name, told in row["metrics"].items():
            low, high = told["score_interval"]
            one = {
                "system": "cross" if row["what"] == "teacher" else "dse", "model": NAMES[row["what"]],
                "data": DATA[row["task"]], "metric": name, "mean": mean(told["values"]), "low": low, "high": high,
                "queries": row["pairs"], "command": COMMAND,
            }  # fmt: skip
            if row["seeds"] > 1:
                one |= {"seeds": row["seeds"], "sd": stdev(told["values"])}
            if row["what"] != "teacher":
                low, high = told["difference_interval"]
                difference = mean(told["values"]) - mean(told["teachers"])
                one["against"] = {
                    "model": NAMES["teacher"], "difference": difference, "low": low, "high": high, "p": None,
                }  # fmt: skip
            found.append(one)
    return found


def quality(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Every model's score and what it keeps of its teacher's."""
    cells = []
    for row in rows:
        for name, told in row["metrics"].items():
            low, high = told["share_interval"]
            kept = "" if row["what"] == "teacher" else f"{told['kept']:.1%} [{low:.1%}, {high:.1%}]"
            floor, goal = told["most_frequent"], mean(told["teachers"])
            judged = floor and row["what"] != "teacher" and goal > floor
            above = f"{(mean(told['values']) - floor) / (goal - floor):.1%}" if judged else ""
            spread = f" ± {stdev(told['values']):.2f}" if row["seeds"] > 1 else ""
            said = f"{mean(told['values']):.2f}{spread}"
            cells.append([DATA[row["task"]], name, NAMES[row["what"]], said, kept, above, str(row["seeds"])])
    return Table(["data", "metric", "model", "score", "of its teacher's", "above most frequent", "seeds"], cells)


def times(told: Mapping[str, Any]) -> Table:
    """The median round; the teacher's time of all pairs is its time of a part of them, multiplied, and said to be."""
    middle = {name: median(one[name] for one in told["rounds"]) for name in told["rounds"][0]}
    pairs, each = told["pairs"], middle["teacher_sample"] / told["sampled"]
    whole = {"head concat": middle["encode"] + middle["concat"], "head dot": middle["encode"] + middle["dot"]}
    rows = [
        ["cross-encoder, the teacher", f"{told['sampled']:,} of them", number(middle["teacher_sample"], 2)],
        ["the same, if all pairs take as long each", "extrapolated", number(each * pairs, 0)],
        ["sentences to vectors", f"{told['left'] + told['right']:,} sentences", number(middle["encode"], 2)],
    ]
    for name, seconds in whole.items():
        times_faster = number(each * pairs / seconds, 0)
        rows.append([f"{name}, vectors included", f"all {pairs:,}", f"{seconds:,.2f} (1/{times_faster})"])
    return Table(["what", "pairs", "CPU seconds"], rows)


def caption(rows: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> str:
    """What was done, in a paragraph."""
    judged = [row for row in rows if row["what"] == VARIANTS[0]]
    kept = [next(iter(row["metrics"].values()))["kept"] for row in judged]
    enough = sum(share >= KEEP for share in kept)
    rates = ", ".join(f"{rate:g}" for rate in RATES)
    return (
        "Teacher and student both start from all-MiniLM-L6-v2. The teacher reads both sentences together and learns "
        f"the task for {EPOCHS['teacher']} epochs; the student (top four layers, weight 0.5) learns for "
        f"{EPOCHS['student']} epochs from the labels and the logits of the teacher of its own seed. Batches of "
        f"{BATCH}, texts up to {MAX_TOKENS} tokens, trained in {args.precision}, measured in float32; learning rates "
        f"chosen for each task from {rates} on its dev split after half an epoch; the last step is kept, test scores "
        "chose nothing. STS-B's grades are divided by 5; MRPC's threshold is fixed at one half. Intervals: percentile "
        "bootstrap over test pairs, seeds averaged. An accuracy is mostly that of the most frequent answer; the last "
        "but one column leaves it out: (student - most frequent) / (teacher - most frequent). The published figure is "
        "a loss of 4.6% relative to BERT on five GLUE tasks; the aim here, to keep 95% of the first metric, is met on "
        f"{enough} of {len(kept)} tasks measured."
    )
