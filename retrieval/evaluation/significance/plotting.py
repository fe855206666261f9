"""Per-query differences as a picture: bars from the largest loss to the largest win, with the mean and its interval."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.significance.changes import changes
from retr.retrieval.evaluation.significance.comparing import Comparison, Pair, Values
from retr.retrieval.plotting import check_plot as check_png
from retr.retrieval.plotting import figure_class

MOST_PANELS = 24
# Okabe and Ito's palette, which colour-blind readers can tell apart too.
WIN, LOSS, MEAN = "#0072B2", "#D55E00", "#000000"


def check_plot(path: Path, panels: int) -> None:
    """Whether `draw` could write there, said before anything is computed: BadInput or NotFound otherwise."""
    check_png(path)
    if panels > MOST_PANELS:
        raise BadInput(
            f"--plot draws at most {MOST_PANELS} comparisons; these are {panels}. Give fewer metrics, or a --baseline."
        )


def draw(comparison: Comparison, systems: Mapping[str, Values], path: Path) -> None:
    """Write a PNG: a row for each pair of systems, a column for each metric."""
    columns = len(comparison.means)
    rows = len(comparison.pairs) // columns
    figure = figure_class()(figsize=(1.5 + 5.5 * columns, 0.8 + 3.4 * rows), dpi=120, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey="col")
    for number, pair in enumerate(comparison.pairs):
        _panel(panels[number % rows][number // rows], pair, systems, comparison)
    figure.savefig(path, format="png")


def _panel(axes: Any, pair: Pair, systems: Mapping[str, Values], comparison: Comparison) -> None:
    deltas = [change.difference for change in changes(systems, pair)]
    edges = [place + 0.5 for place in range(len(deltas) + 1)]
    axes.stairs([max(delta, 0.0) for delta in deltas], edges, fill=True, color=WIN)
    axes.stairs([min(delta, 0.0) for delta in deltas], edges, fill=True, color=LOSS)
    level = f"{100 * (1 - comparison.settings.alpha):g}% interval"
    axes.axhline(pair.difference, color=MEAN, linestyle="--", linewidth=1.2, label=f"mean, {pair.difference:+.4f}")
    axes.axhspan(pair.low, pair.high, color=MEAN, alpha=0.2, linewidth=0, label=f"its {level}")
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xlim(0.5, len(deltas) + 0.5)
    axes.set_title(f"{pair.system} − {pair.baseline}, {pair.metric}: {comparison.verdict(pair)}", fontsize="medium")
    axes.set_xlabel(f"{len(deltas):,} queries: {pair.losses:,} worse, {pair.ties:,} equal, {pair.wins:,} better")
    axes.set_ylabel("difference of the query")
    axes.grid(True, axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", fontsize="small")
