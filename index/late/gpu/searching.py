"""Some parts of one codec searched on one device, many queries at a time, in memory that does not grow with them."""

from collections.abc import Iterator, Sequence

import numpy as np

from retr.index.late.gpu.best import best
from retr.index.late.gpu.lanes import Lanes, width_of
from retr.index.late.gpu.memory import SCRATCH, query_bytes
from retr.index.late.gpu.resident import Resident
from retr.index.late.gpu.scoring import Scoring
from retr.index.late.kernels.arrays import Numbers, Rows
from retr.index.late.planning import Plan

_BYTE = 255


class OnDevice:
    """Parts on a device one after the other, documents counted through.

    A search takes no more than `scratch` bytes in passing, unless a single query of all these documents needs more:
    half is for what belongs to whole queries, and half for a chunk of tokens.
    """

    def __init__(self, parts: Sequence[Resident], scratch: int = SCRATCH) -> None:
        self._codec, self._scratch = parts[0].codec, scratch
        self._scoring = Scoring(parts, scratch // 2)

    def search(self, queries: Sequence[Numbers], k: int, rows: Rows | None, plan: Plan) -> list[tuple[Rows, Rows]]:
        """Scores in whole numbers and documents of each query, best first, at most k of `rows` (rising; None: all).

        RuntimeError where the device fails or has no room.
        """
        import torch

        order = sorted(range(len(queries)), key=lambda place: len(queries[place]))
        found: list[tuple[Rows, Rows]] = [(np.empty(0, np.int64), np.empty(0, np.int64))] * len(queries)
        with torch.inference_mode():
            for batch in self._batches(order, queries, len(self._scoring) if rows is None else len(rows)):
                lanes = Lanes([queries[place] for place in batch], self._codec)
                for place, one in zip(batch, self._answered(lanes, k, rows, plan), strict=True):
                    found[place] = one
        return found

    def _batches(self, order: list[int], queries: Sequence[Numbers], documents: int) -> Iterator[list[int]]:
        """Queries of about one length together, as many as there is room for."""
        each = query_bytes(self._codec.codec, width_of(queries), documents)
        count = max(1, self._scratch // 2 // each)
        yield from (order[at : at + count] for at in range(0, len(order), count))

    def _answered(self, lanes: Lanes, k: int, rows: Rows | None, plan: Plan) -> Iterator[tuple[Rows, Rows]]:
        if plan.way == "all":
            values, places = best(self._scoring.scores(lanes, rows), k, lanes.bound)
            found = places.cpu().numpy()
            return zip(values.cpu().numpy(), found if rows is None else rows[found], strict=True)
        candidates = self._candidates(lanes, rows, plan.candidates)
        values, places = best(self._scoring.rescored(lanes, candidates), k, lanes.bound)
        found = np.take_along_axis(candidates, places.cpu().numpy(), 1)
        return zip(values.cpu().numpy(), found, strict=True)

    def _candidates(self, lanes: Lanes, rows: Rows | None, count: int) -> Rows:
        """The documents of each query to score: int64 [queries, candidates], rising."""
        reached = self._scoring.scan(lanes, rows)
        places = np.sort(best(reached, count, _BYTE * lanes.width)[1].cpu().numpy(), axis=1)
        return places if rows is None else rows[places]
