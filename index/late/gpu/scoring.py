"""Parts' documents scored on a device, a chunk of tokens at a time: the largest similarity of each, then their sums."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retr.index.late.gpu.arithmetic import multiply
from retr.index.late.gpu.chunks import Chunk, chunks
from retr.index.late.gpu.lanes import Lanes
from retr.index.late.gpu.memory import scanned_bytes, scored_bytes
from retr.index.late.gpu.resident import Resident
from retr.index.late.kernels.arrays import Rows

if TYPE_CHECKING:
    import torch

Maxima = Callable[[Chunk], "torch.Tensor"]
Work = Callable[[Resident, Rows | None, Lanes, Rows], Maxima]


class Scoring:
    """Parts one after the other, documents counted through. A chunk takes `scratch` bytes at most."""

    def __init__(self, parts: Sequence[Resident], scratch: int) -> None:
        self._parts, self._codec, self._scratch = list(parts), parts[0].codec, scratch
        self._starts = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def scores(self, lanes: Lanes, rows: Rows | None) -> "torch.Tensor":
        """MaxSim of each query with the same documents (rising; None: all): int64 [queries, rows], in whole numbers."""
        import torch

        most = self._most(scored_bytes(self._codec.codec, len(lanes)))
        return self._summed(lanes, rows, (most, most), _compared, torch.int64).add_(lanes.shifts[:, None])

    def scan(self, lanes: Lanes, rows: Rows | None) -> "torch.Tensor":
        """What some documents reach by their tokens' centroids alone, as `Kernels.scan`: int32 [queries, rows]."""
        import torch

        tokens, documents = (self._most(size) for size in scanned_bytes(len(lanes)))
        return self._summed(lanes, rows, (tokens, documents), _scanned, torch.int32)

    def rescored(self, lanes: Lanes, candidates: Rows) -> "torch.Tensor":
        """MaxSim of each query with its own documents, [queries, candidates], rising: int64 of the same shape."""
        import torch

        most = self._most(scored_bytes(self._codec.codec, lanes.width))
        out = torch.empty(candidates.size, dtype=torch.int64, device=self._codec.device)
        for number, part in enumerate(self._parts):
            inside = (candidates >= self._starts[number]) & (candidates < self._starts[number + 1])
            places = np.flatnonzero(inside.ravel())
            if not len(places):
                continue
            own = candidates.ravel()[places] - self._starts[number]
            ends = _ends(part, own)
            turns = ends[np.searchsorted(places, np.arange(lanes.queries + 1) * candidates.shape[1])]
            moved = torch.from_numpy(places).to(out.device)
            for first, last, largest in _largest(ends, (most, most), _each_its_own(part, own, lanes, ends, turns)):
                out[moved[first:last]] = largest.sum(dim=1, dtype=torch.int64)
        return out.view(candidates.shape).add_(lanes.shifts[:, None])

    def _most(self, size: int) -> int:
        return max(1, self._scratch // size)

    def _summed(
        self, lanes: Lanes, rows: Rows | None, most: tuple[int, int], work: Work, kind: "torch.dtype"
    ) -> "torch.Tensor":
        """The largest of each lane over a document's tokens, added up over each query's lanes: [queries, rows]."""
        import torch

        count = len(self) if rows is None else len(rows)
        out = torch.empty((lanes.queries, count), dtype=kind, device=self._codec.device)
        for part, own, at in self._owners(rows):
            ends = _ends(part, own)
            for first, last, largest in _largest(ends, most, work(part, own, lanes, ends)):
                sums = largest.view(-1, lanes.queries, lanes.width).sum(dim=2, dtype=kind)
                out[:, at + first : at + last] = sums.t()
        return out

    def _owners(self, rows: Rows | None) -> Iterator[tuple[Resident, Rows | None, int]]:
        """Each part with the rows that are its own, as it counts them, and where they begin among all rows."""
        cuts = self._starts if rows is None else np.searchsorted(rows, self._starts)
        for number, part in enumerate(self._parts):
            first, last = int(cuts[number]), int(cuts[number + 1])
            if first < last:
                yield part, None if rows is None else rows[first:last] - self._starts[number], first


def _compared(part: Resident, rows: Rows | None, lanes: Lanes, ends: Rows) -> Maxima:
    """The largest similarities of some documents (None: all) with every lane."""
    import torch

    def maxima(chunk: Chunk) -> "torch.Tensor":
        places, cuts = part.pieces(chunk, ends, rows)
        found = multiply(part.codec.way, part.levels(places), lanes.numbers, lanes.kind)
        if lanes.bases is not None:
            found += lanes.bases.index_select(0, part.centroids(places))
        return torch.segment_reduce(found, "max", offsets=cuts, axis=0, unsafe=True)

    return maxima


def _scanned(part: Resident, rows: Rows | None, lanes: Lanes, ends: Rows) -> Maxima:
    """The largest bytes of some documents' (None: all documents') centroids for every lane."""
    import torch
    from torch.nn.functional import embedding_bag

    def maxima(chunk: Chunk) -> "torch.Tensor":
        places, cuts = part.pieces(chunk, ends, rows)
        bags = cuts.to(torch.int32)
        return embedding_bag(part.centroids(places), lanes.table, bags, mode="max", include_last_offset=True)

    return maxima


def _each_its_own(part: Resident, rows: Rows, lanes: Lanes, ends: Rows, turns: Rows) -> Maxima:
    """The largest similarities of some documents, of which query n has the tokens turns[n] to turns[n + 1]."""
    import torch

    way, device = part.codec.way, part.codec.device

    def maxima(chunk: Chunk) -> "torch.Tensor":
        places, cuts = part.pieces(chunk, ends, rows)
        levels, spans = part.levels(places), np.clip(turns - chunk.start, 0, len(chunk))
        if lanes.bases is None:
            found = torch.zeros((len(chunk), lanes.width), dtype=lanes.kind, device=device)
        else:
            sizes = torch.from_numpy(np.diff(spans)).to(device)
            asked = torch.repeat_interleave(torch.arange(lanes.queries, device=device), sizes, output_size=len(chunk))
            asked += lanes.queries * part.centroids(places)
            found = lanes.bases.view(-1, lanes.width).index_select(0, asked)
        for query in np.flatnonzero(np.diff(spans)).tolist():
            tokens = slice(int(spans[query]), int(spans[query + 1]))
            numbers = lanes.numbers[query * lanes.width : (query + 1) * lanes.width]
            found[tokens] += multiply(way, levels[tokens], numbers, lanes.kind)
        return torch.segment_reduce(found, "max", offsets=cuts, axis=0, unsafe=True)

    return maxima


def _largest(ends: Rows, most: tuple[int, int], maxima: Maxima) -> Iterator[tuple[int, int, "torch.Tensor"]]:
    """Documents from where to where, and the largest of each of their lanes: [documents, lanes].

    `most` tokens and documents are looked at together. What a document reached in one chunk is kept for the next.
    """
    import torch

    begun: torch.Tensor | None = None
    for chunk in chunks(ends, *most):
        largest = maxima(chunk)
        if begun is not None:
            largest[0] = torch.maximum(largest[0], begun)
        begun = largest[-1] if chunk.open else None
        if not chunk.open:
            yield chunk.first, chunk.last, largest


def _ends(part: Resident, rows: Rows | None) -> Rows:
    """Where the tokens of some documents (None: all) end among themselves: int64 [rows + 1]."""
    if rows is None:
        return part.ends
    return np.concatenate([[0], np.cumsum(part.ends[rows + 1] - part.ends[rows])]).astype(np.int64)
