"""The plot of docs/results.md: nDCG@10 of each system on each retrieval set, with 95% intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
METRIC = "nDCG@10"
MARKERS = "osD^vP"
GAP = 0.12


def legend(row: Row) -> str:
    """What a system is called beside the plot."""
    return str(row.get("legend", row["model"]))


def height(row: Row, rows: Sequence[Row], sets: Sequence[str]) -> float:
    """A set's marks lie about its line, in the order of its rows."""
    beside = [legend(one) for one in rows if one["data"] == row["data"]]
    return sets.index(row["data"]) + GAP * (beside.index(legend(row)) - (len(beside) - 1) / 2)


def draw(findings: Sequence[Row], path: Path, digest: str) -> None:
    """An SVG with a row a set and a mark a system; `digest` says in it what it was drawn from."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    rows = [row for row in findings if row["metric"] == METRIC]
    sets = list(dict.fromkeys(row["data"] for row in rows))
    systems = list(dict.fromkeys(legend(row) for row in rows))
    with mpl.rc_context({"svg.hashsalt": "retr", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.62 * len(sets)), layout="constrained")
        for place, system in enumerate(systems):
            own = [row for row in rows if legend(row) == system]
            heights = [height(row, rows, sets) for row in own]
            means = [row["mean"] for row in own]
            arms = [[row["mean"] - row["low"] for row in own], [row["high"] - row["mean"] for row in own]]
            axes.errorbar(means, heights, xerr=arms, fmt=MARKERS[place % len(MARKERS)], ms=4, lw=1, label=system)
        axes.set_yticks(range(len(sets)), sets)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"{METRIC}, 95% interval over queries")
        axes.grid(axis="x", lw=0.4)
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Description": digest})
        pyplot.close(figure)
