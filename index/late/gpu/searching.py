"""Some parts of one codec searched on one device, many queries at a time, in memory that does not grow with them."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retr.index.late.gpu.arithmetic import multiply
from retr.index.late.gpu.best import best
from retr.index.late.gpu.chunks import Chunk, chunks
from retr.index.late.gpu.lanes import Lanes, width_of
from retr.index.late.gpu.memory import SCRATCH, query_bytes, scanned_bytes, scored_bytes
from retr.index.late.gpu.resident import Resident
from retr.index.late.kernels.arrays import Numbers, Rows
from retr.index.late.planning import Plan

if TYPE_CHECKING:
    import torch

Maxima = Callable[[Chunk, Rows], "torch.Tensor"]
_BYTE = 255


class OnDevice:
    """Parts on a device one after the other, documents counted through.

    A search takes no more than `scratch` bytes in passing, unless a single query of all these documents needs more.
    """

    def __init__(self, parts: Sequence[Resident], scratch: int = SCRATCH) -> None:
        self._parts, self._codec, self._scratch = list(parts), parts[0].codec, scratch
        self._starts = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def search(self, queries: Sequence[Numbers], k: int, rows: Rows | None, plan: Plan) -> list[tuple[Rows, Rows]]:
        """Scores in whole numbers and documents of each query, best first, at most k of `rows` (rising; None: all).

        RuntimeError where the device fails or has no room.
        """
        import torch

        order = sorted(range(len(queries)), key=lambda place: len(queries[place]))
        found: list[tuple[Rows, Rows]] = [(np.empty(0, np.int64), np.empty(0, np.int64))] * len(queries)
        with torch.inference_mode():
            for batch in self._batches(order, queries, len(self) if rows is None else len(rows)):
                lanes = Lanes([queries[place] for place in batch], self._codec)
                for place, one in zip(batch, self._answered(lanes, k, rows, plan), strict=True):
                    found[place] = one
        return found

    def _batches(self, order: list[int], queries: Sequence[Numbers], documents: int) -> Iterator[list[int]]:
        """Queries of about one length together, as many as half of the scratch memory has room for."""
        each = query_bytes(self._codec.codec, width_of(queries), documents)
        count = max(1, self._scratch // 2 // each)
        yield from (order[at : at + count] for at in range(0, len(order), count))

    def _answered(self, lanes: Lanes, k: int, rows: Rows | None, plan: Plan) -> Iterator[tuple[Rows, Rows]]:
        import torch

        if plan.way == "all":
            values, places = best(self.scores(lanes, rows), k, lanes.bound)
            found = places.cpu().numpy()
            yield from zip(values.cpu().numpy(), found if rows is None else rows[found], strict=True)
            return
        candidates = self._candidates(lanes, rows, plan.candidates)
        each = [self.scores(lanes.one(place), documents) for place, documents in enumerate(candidates)]
        values, places = best(torch.cat(each), k, lanes.bound)
        yield from zip(values.cpu().numpy(), np.take_along_axis(candidates, places.cpu().numpy(), 1), strict=True)

    def _candidates(self, lanes: Lanes, rows: Rows | None, count: int) -> Rows:
        """The documents of each query to score: int64 [queries, candidates], rising."""
        reached = self.scan(lanes, rows)
        places = np.sort(best(reached, count, _BYTE * lanes.width)[1].cpu().numpy(), axis=1)
        return places if rows is None else rows[places]

    def scores(self, lanes: Lanes, rows: Rows | None) -> "torch.Tensor":
        """MaxSim of each query with some documents (rising; None: all), in whole numbers: int64 [queries, rows]."""
        import torch

        most = self._most(scored_bytes(self._codec.codec, len(lanes)))

        def work(part: Resident, own: Rows | None) -> Maxima:
            def maxima(chunk: Chunk, ends: Rows) -> "torch.Tensor":
                places, cuts = part.pieces(chunk, ends, own)
                found = multiply(self._codec.way, part.levels(places), lanes.numbers, lanes.kind)
                if lanes.bases is not None:
                    found += lanes.bases.index_select(0, part.centroids(places))
                return torch.segment_reduce(found, "max", offsets=cuts, axis=0, unsafe=True) + lanes.shifts

            return maxima

        return self._summed(lanes, rows, (most, most), work, torch.int64)

    def scan(self, lanes: Lanes, rows: Rows | None) -> "torch.Tensor":
        """What some documents reach by their tokens' centroids alone, as `Kernels.scan`: int32 [queries, rows]."""
        import torch
        from torch.nn.functional import embedding_bag

        tokens, documents = (self._most(size) for size in scanned_bytes(len(lanes)))

        def work(part: Resident, own: Rows | None) -> Maxima:
            def maxima(chunk: Chunk, ends: Rows) -> "torch.Tensor":
                places, cuts = part.pieces(chunk, ends, own)
                bags = part.centroids(places), cuts.to(torch.int32)
                return embedding_bag(bags[0], lanes.table, bags[1], mode="max", include_last_offset=True)

            return maxima

        return self._summed(lanes, rows, (tokens, documents), work, torch.int32)

    def _most(self, size: int) -> int:
        return max(1, self._scratch // 2 // size)

    def _summed(
        self,
        lanes: Lanes,
        rows: Rows | None,
        most: tuple[int, int],
        work: Callable[[Resident, Rows | None], Maxima],
        kind: "torch.dtype",
    ) -> "torch.Tensor":
        """The largest of each lane over a document's tokens, added up over a query's lanes: [queries, rows].

        `most` tokens and documents are looked at together.
        """
        import torch

        count = len(self) if rows is None else len(rows)
        out = torch.empty((lanes.queries, count), dtype=kind, device=self._codec.device)
        at = 0
        for part, own in self._owners(rows):
            ends = part.ends if own is None else _ends(part, own)
            maxima, begun = work(part, own), None
            for chunk in chunks(ends, *most):
                largest = maxima(chunk, ends)
                if begun is not None:
                    largest[0] = torch.maximum(largest[0], begun)
                begun = largest[-1] if chunk.open else None
                if not chunk.open:
                    sums = largest.view(-1, lanes.queries, lanes.width).sum(dim=2, dtype=kind)
                    out[:, at + chunk.first : at + chunk.last] = sums.t()
            at += len(ends) - 1
        return out

    def _owners(self, rows: Rows | None) -> Iterator[tuple[Resident, Rows | None]]:
        """Each part with the rows that are its own, as it counts them."""
        if rows is None:
            yield from ((part, None) for part in self._parts)
            return
        cuts = np.searchsorted(rows, self._starts)
        for number, part in enumerate(self._parts):
            if cuts[number] < cuts[number + 1]:
                yield part, rows[cuts[number] : cuts[number + 1]] - self._starts[number]


def _ends(part: Resident, rows: Rows) -> Rows:
    """Where the tokens of some documents end among themselves: int64 [rows + 1]."""
    return np.concatenate([[0], np.cumsum(part.ends[rows + 1] - part.ends[rows])]).astype(np.int64)
