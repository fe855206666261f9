"""What came of it, for people: report.md and a figure of before and after, which stand in the new encoder's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retr.retrieval.errors import NotFound
from retr.retrieval.plotting import figure_class

RECORD, PAGE, FIGURE = "adaptation.json", "report.md", "adaptation.png"
BEFORE, AFTER = "#0072B2", "#D55E00"
"""Of Okabe and Ito's palette."""
FEW = 50
"""Questions below which only a large difference is found."""


def verdict(measured: Mapping[str, Any]) -> str:
    """One line: whether to switch, and on what evidence."""
    if measured["better"]:
        return f"better on {_evidence(measured)}: the switch is recommended"
    if measured["worse"]:
        return f"worse on {_evidence(measured)}: keep the encoder you have"
    return f"not shown to be better on {_evidence(measured)}: keep the encoder you have"


def _evidence(measured: Mapping[str, Any]) -> str:
    kinds = {"judged": "judged queries", "agreement": "agreement with the teacher", "pseudo": "pseudo questions"}
    return f"{measured['queries']:,} {kinds[measured['kind']]}" if measured["kind"] != "agreement" else (
        f"{kinds['agreement']} over {measured['queries']:,} queries"
    )  # fmt: skip


def page(record: Mapping[str, Any], measured: Mapping[str, Any], *, drawn: bool) -> str:
    """report.md."""
    level = f"{100 * measured['level']:g}%"
    difference = measured["difference"]
    counts = record["counts"]
    lines = [
        "# Adapted to a corpus", "", f"**{verdict(measured).capitalize()}.**", "",
        f"Measured on {measured['about']}.", "",
        f"| {measured['metric']}{' (pseudo)' if measured['kind'] == 'pseudo' else ''} | mean | {level} interval |",
        "|---|---|---|",
        *(f"| {name} | {measured[name]['mean']:.4f} | {_between(measured[name])} |" for name in ("before", "after")),
        f"| difference | {difference['mean']:+.4f} | {_between(difference, '+')} |", "",
        f"{measured['queries']:,} questions: {measured['wins']:,} better, {measured['ties']:,} equal, "
        f"{measured['losses']:,} worse; p {difference['p']:.4f} (paired randomisation test, two-sided).",
    ]  # fmt: skip
    if measured["queries"] < FEW:
        lines += ["", f"{measured['queries']} questions are few: only a large difference could be found."]
    if drawn:
        lines += ["", f"![Before and after]({FIGURE})"]
    taught = ", ".join(f"`{one['name']}`" for one in record["teachers"]) or "no teacher"
    lines += [
        "", "## How", "",
        f"Begun with `{record['start']}`; {record['method']}, {taught}; {counts['rows']:,} rows with "
        f"{counts['negatives']:,} near passages, out of {counts['pairs_made']:,} pairs of {counts['documents']:,} "
        f"documents ({', '.join(record['questioners'])}); {record['training']['steps']:,} steps of "
        f"{record['settings']['batch_size']}, seed {record['settings']['seed']}.",
    ]  # fmt: skip
    if counts["held_out"]:
        lines += ["", f"{counts['held_out']:,} documents were kept from training, as positives and as negatives."]
    return "\n".join(lines) + "\n"


def draw(measured: Mapping[str, Any], path: Path) -> bool:
    """Both means and the paired difference with their intervals, as a PNG; False without matplotlib."""
    try:
        figure = figure_class()(figsize=(7, 2.8), dpi=140, layout="constrained")
    except NotFound:
        return False
    left, right = figure.subplots(1, 2)
    for place, (name, colour) in enumerate((("before", BEFORE), ("after", AFTER))):
        _bar(left, place, measured[name], colour)
    left.set_yticks([0, 1], ["before", "after"])
    left.set_title(f"{measured['metric']}, {measured['queries']:,} {measured['kind']} questions", fontsize="small")
    _bar(right, 0, measured["difference"], "#000000")
    right.axvline(0, color="0.5", linewidth=1)
    right.set_yticks([0], ["after − before"])
    right.set_title(f"p {measured['difference']['p']:.4f}", fontsize="small")
    for axes in (left, right):
        axes.margins(x=0.15, y=0.5)
        axes.grid(True, axis="x", color="0.9", linewidth=0.6)
    figure.savefig(path, format="png", metadata={"Software": None})
    return True


def _bar(axes: Any, place: int, found: Mapping[str, float], colour: str) -> None:
    axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=2)
    axes.plot([found["mean"]], [place], "o", color=colour)


def _between(found: Mapping[str, float], sign: str = "") -> str:
    return f"{found['low']:{sign}.4f} to {found['high']:{sign}.4f}"
