"""The model card: what a trained model learned from, how, and what was measured, for people and in retr.json."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD = "retr.json"

USES = {
    "bi": (
        "A bi-encoder: one vector a text, for queries and documents.",
        "retr index DOCUMENTS --encoder bi={0}",
    ),
    "cross": (
        "A cross-encoder: it reads a query together with each document, and reranks what a search found.",
        "retr search QUERY --rerank cross={0}",
    ),
    "uni": (
        "A Uni-Encoder: it reads a query with all of its candidates at once, and reranks what a search found.",
        "retr search QUERY --rerank uni={0}",
    ),
    "poly": (
        "A Poly-Encoder: a few vectors a query and one a candidate, and it reranks what a search found.",
        "retr search QUERY --rerank poly={0}",
    ),
    "lexsem": (
        "A LexSemBridge encoder: one vector a text, a query's weighed by its words.",
        "retr index DOCUMENTS --encoder lexsem={0}",
    ),
    "smith": (
        "A SMITH encoder: one vector a document, however long, out of blocks of its sentences.",
        "retr index DOCUMENTS --encoder smith={0}",
    ),
    "mvp": (
        "An MVP reranker: it judges all candidates of a query together, and reranks what a search found.",
        "retr search QUERY --rerank mvp={0}",
    ),
    "dse": (
        "A Distilled Sentence Embedding: one vector a sentence, and a head that scores two of them.",
        "retr search QUERY --rerank dse={0}",
    ),
}
"""A kind in words, and the command that uses it."""


def write_record(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add the table `training` to the folder's retr.json, and README.md beside it."""
    path = folder / RECORD
    tables = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    text = json.dumps({**tables, "training": dict(facts)}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    kind = next((str(table["kind"]) for table in tables.values() if "kind" in table), "")
    (folder / "README.md").write_text(card(facts, kind), encoding="utf-8")


def card(facts: Mapping[str, Any], kind: str = "") -> str:
    """README.md of a model folder, in Markdown; how it is used, where its kind is known."""
    lines = [f"# {facts['name']}", "", f"Trained with retr {facts['versions']['retr']}.", ""]
    if kind in USES:
        what, command = USES[kind]
        lines += [f"{what} With this folder as `{facts['name']}`:", "", "```console"]
        lines += [f"$ {command.format(facts['name'])}", "```", ""]
    lines += ["## Measured", ""]
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
