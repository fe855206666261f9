"""The histogram of scores as a picture: candidates and known positives beside the query's positive, and the bound."""

from pathlib import Path

import numpy as np

from retr.distill.mining.mining import Mining
from retr.distill.mining.writing import histogram
from retr.retrieval.errors import BadInput
from retr.retrieval.plotting import figure_class

# Okabe and Ito's palette, which colour-blind readers can tell apart too.
CANDIDATES, POSITIVES, BOUND = "#0072B2", "#D55E00", "#000000"


def draw(mining: Mining, path: Path) -> None:
    """Write the picture as a PNG; BadInput where no scorer gave scores to draw."""
    if mining.measured is None:
        raise BadInput("There are no scores to draw: nothing was scored. Give a scorer, or leave the plot out.")
    drawn = histogram(mining.measured)
    figure = figure_class()(figsize=(9, 5), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    edges = np.array(drawn["edges"])
    for name, label, colour in (
        ("candidates", "candidates", CANDIDATES),
        ("positives", "other known positives", POSITIVES),
    ):
        counts = np.array(drawn[name], np.float64)
        label = f"{label} ({int(counts.sum()):,})"
        axes.stairs(counts / max(counts.sum(), 1), edges, fill=True, alpha=0.45, color=colour, label=label)
    axes.axvline(0, color="0.4", linewidth=1, label="the query's positive")
    if mining.bounds.margin is not None:
        axes.axvline(-mining.bounds.margin, color=BOUND, linestyle="--", linewidth=1.6, label=_label(mining))
    axes.set_xlabel("score less the score of the query's positive")
    axes.set_ylabel("share of its kind")
    axes.set_title(f"{drawn['queries']:,} queries measured: {_title(mining)}", fontsize="medium")
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, format="png", metadata={"Software": None})


def _label(mining: Mining) -> str:
    margin = f"margin {mining.bounds.margin:.4g}"
    return margin if mining.choice is None else f"{margin}, chosen: right of it dropped"


def _title(mining: Mining) -> str:
    choice, bounds = mining.choice, mining.bounds
    if choice is not None:
        return f"{choice.share:.1%} of candidates taken for relevant, {choice.share_kept:.1%} of those kept"
    if bounds.relative_margin is not None:
        return f"dropped above {1 - bounds.relative_margin:.0%} of the positive's score"
    return "dropped right of the margin" if bounds.margin is not None else f"dropped above {bounds.max_score:g}"
