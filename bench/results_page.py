"""Write docs/results.md and its plots from bench/results/*.json and bench/published.json; nothing on it is typed.

    python bench/results_page.py [--check]

A result that has something to say about a system holds `findings` (bench/README.md says how they look); one with a
title has a section of its own too. The newest file of each name counts. A system without a finding says so.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import results_depth
import results_parts
from recording import RESULTS, ROOT
from report import newest
from results_findings import findings
from tables import Table, number

PAGE = ROOT / "docs" / "results.md"
PLOTS = ROOT / "docs" / "results"
PUBLISHED = ROOT / "bench" / "published.json"
DATED = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}")
NOT_RUN = "Not run yet."
EVIDENCE = {
    "paper": "the paper",
    "project": "the project's own tables",
    "third party": "someone else's run",
    "second hand": "taken from another paper",
    "not read": "its tables could not be read",
}
HEAD = """# Results

What papers report for each kind of system, and what was measured here. This page is written by
`python bench/results_page.py` from recorded runs (`bench/results/*.json`) and from `bench/published.json`: nothing on
it is typed by hand, and a system without a run says so. Figures of papers are for their data, models and sizes. Beside
ours they say what is possible, and not that one is better than the other, unless data and task are the same.

How to run a command of this page again, and what it needs first: [bench/README.md](../bench/README.md). What the
metrics mean: [evaluation.md](evaluation.md)."""
Row = Mapping[str, Any]


def main() -> None:
    """Write page and plots, or with --check fail when they are not what would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when the page is stale")
    check = parser.parse_args().check
    results = newest_of_all()
    page, plots = rendered(results), plotted(results)
    if not check:
        PAGE.write_text(page, encoding="utf-8")
        for name, data in plots.items():
            draw(data, PLOTS / name, digest(data))
        return
    # The bytes of a plot differ from one version of the plotting library to the next; what it was drawn from does not.
    stale = [PLOTS / name for name, data in plots.items() if digest(data) not in text_of(PLOTS / name)]
    if stale or text_of(PAGE) != page:
        raise SystemExit("docs/results.md is not what the results say. Run: python bench/results_page.py")


def plotted(results: Mapping[str, Row]) -> dict[str, Any]:
    """What each plot is drawn from, by the plot's name."""
    retrieval = results.get("retrieval", {})
    found = {results_parts.PLOT: retrieval.get("findings"), results_depth.PLOT: retrieval.get("depth")}
    return {name: data for name, data in found.items() if data}


def draw(data: Any, path: Path, mark: str) -> None:
    """The plot with its mark in it."""
    import results_plot

    drawing = results_plot.draw_depth if path.name == results_depth.PLOT else results_plot.draw
    drawing(data, path, mark)


def text_of(path: Path) -> str:
    """What is there; nothing if it is not."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def newest_of_all() -> dict[str, Row]:
    """The newest result of each name, with its file's name."""
    names = sorted({match[1] for path in RESULTS.glob("*.json") if (match := DATED.fullmatch(path.stem))})
    paths = [path for name in names if (path := newest(name)) is not None]
    return {one["name"]: one for path in paths for one in [{"file": path.name, **json.loads(path.read_text("utf-8"))}]}


def rendered(results: Mapping[str, Row], published: Path = PUBLISHED) -> str:
    """The whole page."""
    facts = json.loads(published.read_text(encoding="utf-8"))
    found = findings(results)
    parts = [HEAD, "## At a glance", glance(facts, found).markdown()]
    for system, title in facts["systems"].items():
        reported = [figure for figure in facts["figures"] if figure["system"] == system]
        own = [finding for finding in found if finding["system"] == system]
        parts += [f"## {title}", *section(reported, own)]
    return "\n\n".join([*parts, *results_parts.parts(results)]) + "\n"


def glance(facts: Row, found: Sequence[Row]) -> Table:
    """One line a system: what is reported first, and what was measured on the same data, or else first."""
    lines = []
    for system, title in facts["systems"].items():
        reported = next((one for one in facts["figures"] if one["system"] == system and one["value"] is not None), None)
        own = [finding for finding in found if finding["system"] == system]
        same = [finding for finding in own if reported and alike(finding, reported)]
        chosen = next(iter(same or own), None)
        cells = ["-", "-"] if reported is None else [what(reported), value(reported)]
        lines.append([title, *cells, *(["not run yet", "-"] if chosen is None else [what(chosen), measured(chosen)])])
    return Table(["system", "reported on", "value", "measured here on", "value [95%]"], lines)


def alike(finding: Row, figure: Row) -> bool:
    """Whether both are of the same data and metric."""
    return (finding["data"], finding["metric"]) == (figure["data"], figure["metric"])


def section(reported: Sequence[Row], own: Sequence[Row]) -> Iterator[str]:
    """One system: its papers' figures, ours, and the commands that give ours again."""
    lines = [[one["model"], one["data"], one["metric"], value(one), told_by(one)] for one in reported]
    yield Table(["reported for", "data", "metric", "value", "by"], lines).markdown()
    if not own:
        yield NOT_RUN
        return
    compared = any(one.get("against") for one in own)
    columns = ["measured here with", "data", "metric", "value [95%]", "queries", *["difference [95%]"] * compared]
    lines = [[one["model"], one["data"], one["metric"], measured(one), str(one["queries"] or "-")] for one in own]
    beside = [[against(one.get("against"))] * compared for one in own]
    yield Table(columns, [line + last for line, last in zip(lines, beside, strict=True)]).markdown()
    files = ", ".join(f"`bench/results/{name}`" for name in sorted({one["file"] for one in own}))
    commands = "\n".join(together([one["command"] for one in own]))
    yield f"Recorded in {files}. Again:\n\n```text\n{commands}\n```"


def together(commands: Sequence[str]) -> list[str]:
    """The commands, each once; those that differ only in the set are one."""
    sets: dict[tuple[str, str], list[str]] = {}
    for command in commands:
        before, option, rest = command.partition(" --sets ")
        name, _, after = rest.partition(" ")
        sets.setdefault((before + option, after), []).append(name)
    return [f"{before}{' '.join(dict.fromkeys(names))} {after}".strip() for (before, after), names in sets.items()]


def what(one: Row) -> str:
    """Data and metric, and the model."""
    return f"{one['data']}, {one['metric']} ({one['model']})"


def value(figure: Row) -> str:
    """As the paper gives it."""
    return "-" if figure["value"] is None else f"{figure['value']:g}"


def measured(finding: Row) -> str:
    """A mean with its interval and the spread over seeds, where it has them."""
    ends = f" [{finding['low']:.3f}, {finding['high']:.3f}]" if finding.get("low") is not None else ""
    seeds = f" ± {finding['sd']:.3f} over {finding['seeds']} seeds" if finding.get("sd") is not None else ""
    return f"{number(finding['mean'], 3)}{ends}{seeds}"


def against(found: Row | None) -> str:
    """The paired difference to another model, with its interval and p."""
    if not found:
        return ""
    p = "" if found.get("p") is None else f", p {found['p']:.4f}" if found["p"] >= 0.0001 else ", p <0.0001"
    return f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]{p}, to {found['model']}"


def told_by(figure: Row) -> str:
    """Source, place, and how it is known."""
    place = "" if figure["where"] == "-" else f", {figure['where']}"
    note = f"; {figure['note']}" if figure.get("note") else ""
    return f"{figure['source']}{place} ({EVIDENCE[figure['evidence']]}{note})"


def digest(data: Any) -> str:
    """Of what a plot is drawn from."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    main()
