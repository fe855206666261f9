"""Pairs as JSON lines, and beside them a JSON file that says how they came about."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retr.distill.pairs.making import Counts, make_pairs
from retr.distill.pairs.settings import PairSettings
from retr.distill.rows_file import check_rows_file, new_file
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document
from retr.retrieval.version import VERSION


def write(
    documents: Iterable[Document], out: Path, settings: PairSettings, *, reading: ReadSettings | None = None
) -> dict[str, Any]:
    """Write every pair to `out`, and the facts that are returned to the same name with .json.

    Both are there when all pairs are: an older file stays until then. Nothing in them tells the time or the machine.
    BadInput where the documents give no pair at all.
    """
    check_rows_file(out)
    digest, counts = hashlib.sha256(), Counts()
    with new_file(out) as file:
        for pair in make_pairs(documents, settings, reading=reading, counts=counts):
            line = json.dumps(asdict(pair), ensure_ascii=False).encode() + b"\n"
            digest.update(line)
            file.write(line)
        if not counts.rows:
            raise BadInput(
                f"The {counts.documents:,} documents give no pair by {settings.method}: {_reason(counts, settings)}"
            )
        about = {"retr": VERSION, "settings": asdict(settings), "counts": asdict(counts), "sha256": digest.hexdigest()}
        with new_file(out.with_suffix(".json")) as beside:
            beside.write(json.dumps(about, ensure_ascii=False, indent=1).encode() + b"\n")
    return about


def _reason(counts: Counts, settings: PairSettings) -> str:
    reasons = {
        "ict": "no passage has two sentences. Give longer texts, or lower min_words.",
        "bfs": "no document has a second paragraph or passage. Use ict, or lower passage_words.",
        "generate": "the decoder wrote no question of a fitting length. Take another, or lower min_words.",
        "wlp": f"no link, of {counts.links:,}, leads from one to another. Read all in one run, or name links_field.",
    }
    return reasons[settings.method]
