"""The plot of distil_trans.py: the losses of a cycle, and what each stage scores."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

STAGES = ("start", "cross", "bi")
COLOURS = {"cross": "tab:orange", "bi": "tab:blue"}


def draw(stages: Mapping[str, Mapping[str, Sequence[float]]], cycles: Path, path: Path) -> None:
    """An SVG: losses of every strict self-distillation left, scores of every mode and way right."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    with mpl.rc_context({"svg.hashsalt": "retr", "svg.fonttype": "none", "font.size": 9}):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
        for kind, colour in COLOURS.items():
            for number, log in enumerate(sorted(cycles.glob(f"strict-self-*.cycles/1/{kind}-1/training.csv"))):
                steps, losses = losses_of(log)
                left.plot(steps, losses, color=colour, lw=0.9, label=kind if not number else None)
        left.set(xlabel="step of the phase", ylabel="loss (cross-entropy, squared error)", yscale="log")
        for name, line in stages.items():
            seen = [stage for stage in STAGES if stage in line]
            values = [mean(line[stage]) for stage in seen]
            spread = [[values[at] - min(line[stage]) for at, stage in enumerate(seen)],
                      [max(line[stage]) - values[at] for at, stage in enumerate(seen)]]  # fmt: skip
            right.errorbar(range(len(seen)), values, yerr=spread, fmt="o-", ms=4, lw=0.9, capsize=2, label=name)
        right.set_xticks(range(len(STAGES)), STAGES)
        right.set_ylabel("STS-B test, Spearman x100")
        for axes in (left, right):
            axes.grid(lw=0.4)
            axes.legend(frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def losses_of(log: Path) -> tuple[list[int], list[float]]:
    """Steps and losses of a training's log."""
    with log.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    return [int(row["step"]) for row in rows], [float(row["loss"]) for row in rows]
