"""Some parts of one codec searched on one device, many queries at a time, in memory that does not grow with them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from retr.index.late.gpu.best import best
from retr.index.late.gpu.lanes import Lanes, width_of
from retr.index.late.gpu.memory import SCRATCH, query_bytes
from retr.index.late.gpu.resident import Resident
from retr.index.late.gpu.scoring import Scoring
from retr.index.late.kernels.arrays import Numbers, Rows
from retr.index.late.planning import Plan

if TYPE_CHECKING:
    import torch

_BYTE = 255


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """The documents to search, `count` of them: `rows` are gathered (None: all are scored, less those `barred`)."""

    count: int
    rows: Rows | None = None
    barred: "torch.Tensor | None" = None


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
            chosen = self._chosen(rows)
            for batch in self._batches(order, queries):
                lanes = Lanes([queries[place] for place in batch], self._codec)
                for place, one in zip(batch, self._answered(lanes, k, chosen, plan), strict=True):
                    found[place] = one
        return found

    def _chosen(self, rows: Rows | None) -> _Chosen:
        """Less than half of the documents are gathered; where more are wanted, all are scored, which is less work."""
        import torch

        documents = len(self._scoring)
        if rows is None:
            return _Chosen(documents)
        if 2 * len(rows) <= documents:
            return _Chosen(len(rows), rows)
        barred = np.ones(documents, np.bool_)
        barred[rows] = False
        return _Chosen(len(rows), None, torch.from_numpy(barred).to(self._codec.device))

    def _batches(self, order: list[int], queries: Sequence[Numbers]) -> Iterator[list[int]]:
        """Queries of about one length together, as many as there is room for."""
        each = query_bytes(self._codec.codec, width_of(queries), len(self._scoring))
        count = max(1, self._scratch // 2 // each)
        yield from (order[at : at + count] for at in range(0, len(order), count))

    def _answered(self, lanes: Lanes, k: int, chosen: _Chosen, plan: Plan) -> Iterator[tuple[Rows, Rows]]:
        if plan.way == "all":
            values, documents = self._best(self._scoring.scores, lanes, k, chosen, lanes.bound)
            return zip(values, documents, strict=True)
        reached = self._best(self._scoring.scan, lanes, plan.candidates, chosen, _BYTE * lanes.width)
        candidates = np.sort(reached[1], axis=1)
        scores, places = best(self._scoring.rescored(lanes, candidates), k, lanes.bound)
        return zip(scores.cpu().numpy(), np.take_along_axis(candidates, places.cpu().numpy(), 1), strict=True)

    def _best(
        self,
        work: "Callable[[Lanes, Rows | None], torch.Tensor]",
        lanes: Lanes,
        count: int,
        chosen: _Chosen,
        bound: int,
    ) -> tuple[Rows, Rows]:
        """The chosen documents of which `work` gives most, at most `bound`, and what it gives: [queries, count]."""
        scores = work(lanes, chosen.rows)
        if chosen.barred is not None:
            scores.masked_fill_(chosen.barred, -bound - 1)
        values, places = (one.cpu().numpy() for one in best(scores, min(count, chosen.count), bound + 1))
        return values, places if chosen.rows is None else chosen.rows[places]
