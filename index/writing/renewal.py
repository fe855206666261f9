"""Postings made anew once most of the passages in them are dead: tantivy keeps those until it merges their segment."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.manifest import Manifest, Segment
from retr.index.disk.segments import OpenSegment
from retr.index.lexical.postings import passages_in
from retr.index.writing.passages import encoded_texts
from retr.retrieval.records import Document

DEAD_SHARE, DEAD_PASSAGES = 0.5, 1000
"""From this share on, what is dead costs searches and disk more than what lives; few passages are not worth it.

Deleting as many passages as then live has come before, so each passage is written again once for a deletion.
"""


def renewal_due(folder: Path, manifest: Manifest) -> bool:
    """Whether a generation's postings should be made anew."""
    if not manifest.lexical_folder:
        return False
    passages, _ = passages_in(folder / manifest.lexical_folder)
    dead = passages - manifest.live_passages
    return dead >= DEAD_PASSAGES and dead >= DEAD_SHARE * passages


def living_texts(folder: Path, segments: Sequence[Segment], dead: NDArray[np.bool_]) -> Iterator[tuple[int, str]]:
    """(key, text) of every living passage, as the postings take them in. `dead` [documents] is over all segments."""
    for facts in segments:
        segment = OpenSegment(folder, facts, None)
        keys, number = segment.keys, 0
        for table in segment.tables():
            for row in table.select(["id", "title", "text"]).to_pylist():
                start, end = segment.rows_of(number)
                if not dead[facts.first_document + number]:
                    spans = [(int(one["start"]), int(one["end"])) for one in segment.passages[start:end]]
                    yield from zip(keys[start:end].tolist(), encoded_texts(Document(**row), spans), strict=True)
                number += 1
