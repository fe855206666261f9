"""The plot of training_mutual.py: what each kind picks right on MuTual, beside the time that it takes."""

from collections.abc import Sequence
from pathlib import Path

MARKERS = "osD^v"
Point = tuple[str, float, float, float, float]
"""A kind's title, its CPU milliseconds, its R@1, and the ends of that one's interval."""


def draw(points: Sequence[Point], count: int, path: Path) -> None:
    """An SVG with a mark a kind; the time is that of `count` candidates, on a logarithmic axis."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    with mpl.rc_context({"svg.hashsalt": "retr", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
        for (title, time, mean, low, high), marker in zip(points, MARKERS, strict=True):
            axes.errorbar([time], [mean], yerr=[[mean - low], [high - mean]], fmt=marker, ms=5, lw=1, label=title)
        axes.set_xscale("log")
        axes.set_xlabel(f"CPU milliseconds a context with {count} candidates, one thread")
        axes.set_ylabel("R@1 on MuTual dev, 95% interval")
        axes.grid(lw=0.4)
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
