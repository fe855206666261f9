"""The plots of docs/results.md: each system on each retrieval set, and TREC DL 2019 over how many are reranked."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from results_depth import ESTIMATE

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


@contextmanager
def plot(path: Path, digest: str, size: tuple[float, float]) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes, saved as SVG; `digest` says in it what it was drawn from."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    with mpl.rc_context({"svg.hashsalt": "retr", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        yield figure, axes
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Description": digest})
        pyplot.close(figure)


def draw(findings: Sequence[Row], path: Path, digest: str) -> None:
    """A row a set and a mark a system, with 95% intervals."""
    rows = [row for row in findings if row["metric"] == METRIC]
    sets = list(dict.fromkeys(row["data"] for row in rows))
    systems = list(dict.fromkeys(legend(row) for row in rows))
    with plot(path, digest, (8, 0.9 + 0.62 * len(sets))) as (figure, axes):
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


def draw_depth(depth: Row, path: Path, digest: str) -> None:
    """BM25's first 10 to 100 reranked and in their best order; the estimates at the depth of the stated figure."""
    rows = [row for row in depth["rows"] if row["candidates"].startswith("BM25, the first")]
    far = next(row for row in rows if ESTIMATE in row["candidates"])
    known = [row for row in rows if row is not far]
    at, line = depth["far"], {**depth["extrapolated"], "mean": depth["extrapolated"]["value"]}
    with plot(path, digest, (7, 3.6)) as (_, axes):
        depths = [row["passages"] for row in known]
        axes.plot(depths, [row["best"] for row in known], "k--", lw=1, label="the best order of them")
        axes.plot(depths, [row["mean"] for row in known], "o-", ms=4, lw=1, label="reranked")
        axes.fill_between(depths, [row["low"] for row in known], [row["high"] for row in known], alpha=0.15)
        # Side by side, as both stand at the same depth.
        for row, place, mark, name in ((far, 0.93, "s", "as far as known"), (line, 1.07, "^", "the curve carried on")):
            arms = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
            label = f"{at:,}, estimated: {name}"
            axes.errorbar([place * at], [row["mean"]], yerr=arms, fmt=mark, ms=4, lw=1, label=label)
        axes.axhline(depth["stated"], color="0.5", lw=0.8)
        axes.annotate(f"stated, of {at:,}: {depth['stated']:.3f}", (depths[-1] * 1.2, depth["stated"]), va="bottom")
        axes.set_xscale("log")
        axes.set_xticks([10, 20, 50, 100, at], ["10", "20", "50", "100", f"{at:,}"])
        axes.minorticks_off()
        axes.set_xlabel("candidates of BM25 that are reranked, a query")
        axes.set_ylabel(f"{METRIC}, 95% interval")
        axes.grid(lw=0.4)
        axes.legend(loc="lower right", frameon=False)
