"""The learning curves of all cycles in one picture: each phase's loss, and what was measured after it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retr.distill.trans.cycling import Scores
from retr.distill.trans.teaching import Kind
from retr.encoders.training.logs import Log
from retr.retrieval.errors import NotFound
from retr.retrieval.plotting import figure_class

COLOURS = {"bi": "tab:blue", "cross": "tab:orange"}


def draw_cycles(course: Sequence[tuple[str, Kind, Scores]], work: Path, path: Path, metric: str) -> bool:
    """A PNG; False without matplotlib. Losses of the two kinds are of two objectives, and share no scale."""
    try:
        figure = figure_class()(figsize=(8, 6), layout="constrained")
    except NotFound:
        return False
    losses, scores = figure.subplots(2, 1) if metric else (figure.subplots(), None)
    done = 0
    for stage, kind, _ in course:
        ends = [_draw_loss(losses, log, done, kind) for log in sorted((work / stage).glob(f"{kind}-*/training.csv"))]
        done = max(ends, default=done)
        losses.axvline(done, color="0.8", lw=0.6)
    losses.set(xlabel="steps of all phases", ylabel="loss: bi blue, cross orange", yscale="log")
    if scores is not None:
        _draw_scores(scores, course, metric)
    figure.savefig(path, dpi=120)
    return True


def _draw_loss(axes: Any, path: Path, done: int, kind: Kind) -> int:
    """One model's losses after `done` steps of the phases before; where they end."""
    rows = [row for row in Log(path).rows() if "loss" in row]
    steps = [done + int(row["step"]) for row in rows]
    axes.plot(steps, [row["loss"] for row in rows], color=COLOURS[kind], lw=0.8)
    return steps[-1] if steps else done


def _draw_scores(axes: Any, course: Sequence[tuple[str, Kind, Scores]], metric: str) -> None:
    """A line for each model and kind; where there are several models, a broken one for the ensemble."""
    names = [stage if stage == "start" else f"{stage} {kind}" for stage, kind, _ in course]
    for kind, colour in COLOURS.items():
        places = [place for place, (_, other, _) in enumerate(course) if other == kind]
        values = [course[place][2] for place in places]
        models = len(values[0]["models"])
        for model in range(models):
            line = [one["models"][model] for one in values]
            axes.plot(places, line, "o-", color=colour, lw=0.9, label=f"{kind} {model + 1}")
        if models > 1:
            together = [one["ensemble"] for one in values]
            axes.plot(places, together, "s--", color=colour, lw=0.9, label=f"{kind}, mean of models")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel(metric)
    axes.legend(fontsize=8)
