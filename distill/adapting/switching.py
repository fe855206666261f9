"""A live index switched over to the adapted encoder: a shadow is filled, compared, and put into its place."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from retr.distill.adapting.stages import Report
from retr.encoders import load_encoder
from retr.index.collection import Collection
from retr.index.reindexing.overlap import overlap, sampled_queries
from retr.index.reindexing.shadow import Shadow

COMPARED = 10


def switch(index: Path, encoder: Path, queries: tuple[str, ...], report: Report, wait_seconds: float) -> dict[str, Any]:
    """As `retr reindex` does it; what was live stays as a snapshot. An index of the encoder already is left alone."""
    spec = f"bi={encoder}"
    made = load_encoder(spec)
    live = Collection.open(index, load=load_encoder)
    facts = live.manifest.encoder
    if facts is not None and facts.fingerprint == made.fingerprint:
        return {"already": True, "generation": live.manifest.generation}

    def told(unit: str, done: int, total: int) -> None:
        report(f"{unit} encoded anew", done, total)

    work = Shadow.begin(live, made, spec=spec)
    filled = work.fill(report=told)
    source = queries or tuple(sampled_queries(live))
    compared = overlap(live, work.shadow, source, COMPARED, "given" if queries else "sampled")
    swapped = work.swap(wait_seconds=wait_seconds, report=told)
    return {
        "already": False,
        "encoded_passages": filled.encoded,
        "overlap": None if compared is None else asdict(compared),
        "generation": swapped.generation,
        "snapshot": swapped.snapshot,
    }
