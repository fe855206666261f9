"""The measured points as a picture: recall against the time of one query, with the frontier, target and choice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retr.index.tuning.choosing import frontier
from retr.index.tuning.points import Point
from retr.index.tuning.running import Tuning
from retr.retrieval.plotting import figure_class

# Okabe and Ito's palette, which colour-blind readers can tell apart too; each kind has a marker of its own as well.
_LOOKS: dict[str, tuple[str, str]] = {
    "flat": ("#000000", "*"),
    "pq": ("#0072B2", "o"),
    "ivf-pq": ("#D55E00", "s"),
    "ivf-sq8": ("#009E73", "^"),
    "ivf-flat": ("#CC79A7", "v"),
    "rabitq": ("#E69F00", "D"),
    "hnsw": ("#56B4E9", "P"),
}


def draw(tuning: Tuning, path: Path) -> None:
    """Write the picture as a PNG of 1,600 x 1,000 pixels: what lies around the target and above."""
    figure = figure_class()(figsize=(10, 6.25), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    target, chosen = tuning.settings.recall, tuning.choice.point
    _scatter(axes, tuning.interesting)
    best = frontier(tuning.interesting)
    axes.plot(*_places(best), color="0.45", linewidth=1.2, zorder=1, label="frontier")
    axes.axvline(target, color="0.3", linestyle="--", linewidth=1, label=f"target {target:g}")
    label = f"chosen: {chosen.candidate.name}"
    axes.scatter(*_places([chosen]), s=220, facecolors="none", edgecolors="#000000", linewidths=1.8, label=label)
    axes.set_yscale("log")
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis("{x:.3g}")
    axes.tick_params(axis="y", which="minor", labelsize="x-small")
    axes.set_xlabel(f"recall@{tuning.settings.k} on the {tuning.choosing:,} choosing queries")
    axes.set_ylabel("median time of one query on one thread, ms")
    axes.set_title(f"{tuning.sampled:,} vectors of {tuning.dim:,} numbers")
    axes.grid(True, which="both", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, format="png")


def _scatter(axes: Any, points: Sequence[Point]) -> None:
    """One colour a kind and storage is told by the label; a paler mark is a storage other than the first."""
    groups = dict.fromkeys((point.candidate.kind, point.candidate.storage) for point in points)
    first = points[0].candidate.storage if points else ""
    for kind, storage in groups:
        colour, marker = _LOOKS[kind]
        group = [point for point in points if (point.candidate.kind, point.candidate.storage) == (kind, storage)]
        label = kind if storage == first else f"{kind}, {storage}"
        alpha = 0.9 if storage == first else 0.45
        axes.scatter(*_places(group), s=36, color=colour, marker=marker, alpha=alpha, linewidths=0, label=label)


def _place(point: Point) -> tuple[float, float]:
    return point.recall, point.speed.median_ms


def _places(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.recall for point in points], [point.speed.median_ms for point in points]
