"""The model card: what a trained model learned from, how, and what was measured, for people and in retr.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD = "retr.json"


def write_record(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add the table `training` to the folder's retr.json, and README.md beside it."""
    path = folder / RECORD
    tables = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = json.dumps({**tables, "training": dict(facts)}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(facts), encoding="utf-8")


def card(facts: Mapping[str, Any]) -> str:
    """README.md of a model folder, in Markdown."""
    lines = [f"# {facts['name']}", "", f"Trained with retr {facts['versions']['retr']}.", "", "## Measured", ""]
    measured = facts["validation"]
    if measured is None:
        lines += ["Nothing was measured in training. Measure it with `retr eval` before it is used."]
    else:
        lines += [
            "| | step | " + measured["metric"] + " |",
            "|---|---|---|",
            f"| before training | 0 | {measured['start']:.4f} |",
            f"| this model, the best of the run | {measured['best_step']} | {measured['best']:.4f} |",
            "",
            "The best step was chosen by this very measure, so on other data expect a little less.",
        ]
    lines += ["", f"{facts['steps']} steps, {facts['rows']['count']} rows, {facts['seconds']:.0f} seconds."]
    if facts["curve"]:
        lines += ["", f"![The loss over the steps]({facts['curve']})"]
    lines += ["", "## Data", "", "| file | sha256 |", "|---|---|"]
    lines += [f"| {name} | `{digest}` |" for name, digest in facts["rows"]["sha256"].items()]
    lines += ["", f"{facts['rows']['doubles']} rows that were there twice were left out."]
    lines += ["", "## Recipe", "", "```json", json.dumps(facts["recipe"], indent=2, ensure_ascii=False), "```", ""]
    lines += ["Made with " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()) + "."]
    return "\n".join(lines) + "\n"
