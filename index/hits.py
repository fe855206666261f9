"""From ranked rows to what a caller gets: hits with their texts, or ids and scores alone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retr.index.opened import Opened
from retr.index.ranking import Ranked
from retr.retrieval.chunking import page_of
from retr.retrieval.pictures import ROOT
from retr.retrieval.records import Hit

_INNER = ("page_starts", ROOT)
"""What a document's source tells that is no business of who asks."""


class Near(NamedTuple):
    """A document that a vector search found: its id, and the score of its best passage."""

    id: str
    score: float


def hits(snapshot: Opened, ranked: Sequence[Ranked], *, explain: bool) -> list[Hit]:
    """The hits of one query, in order."""
    places = snapshot.places([one.row for one in ranked])
    found = []
    for rank, (one, place) in enumerate(zip(ranked, places, strict=True), start=1):
        document = place.document
        source: dict[str, Any] = {name: value for name, value in document.source.items() if name not in _INNER}
        source |= {"passage": place.ordinal, "start": place.start, "end": place.end}
        page = page_of(document, place.start)
        if page is not None:
            source["page"] = page
        found.append(
            Hit(
                id=document.id,
                score=one.score,
                rank=rank,
                title=document.title,
                text=document.text[place.start : place.end],
                metadata=document.metadata,
                source=source,
                explain=one.explain if explain else None,
            )
        )
    return found


def near(snapshot: Opened, numbers: NDArray[np.int64], scores: NDArray[np.float32]) -> list[Near]:
    """Ids and scores of one query's documents, in order."""
    ids = snapshot.ids_of(numbers.tolist())
    return [Near(id, score) for id, score in zip(ids, scores.tolist(), strict=True)]
