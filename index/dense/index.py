"""The vectors of a whole snapshot: its parts searched one after the other, rows counted through."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.parts import Allowed, DensePart, Found
from retr.index.exact import padded, single
from retr.retrieval.embeddings import Embeddings, Floats
from retr.retrieval.errors import Mismatch
from retr.retrieval.protocols import Matches

if TYPE_CHECKING:
    from retr.index.dense.gpu import Device
    from retr.index.dense.gpu.accelerated import AcceleratedPart


class DenseIndex:
    """Inner products over the parts of a snapshot. With unit vectors the score is the cosine.

    Each part is moved to the device if that can be; `placement` says where each is searched, or why not there.
    """

    def __init__(self, dim: int, parts: Sequence[DensePart], device: "Device | None" = None) -> None:
        self._dim = dim
        self._parts = [part for part in parts if len(part)]
        both = _placed(self._parts, device)
        self._searched = [part for part, _ in both]
        self.placement = [where for _, where in both]
        self._starts = np.cumsum([0, *(len(part) for part in self._parts)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def vectors(self, rows: NDArray[np.int64]) -> Floats:
        """A copy of some rows, as stored: float32 [rows, dim], in the order given."""
        out = np.empty((len(rows), self._dim), np.float32)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(numbers):
            here = numbers == number
            out[here] = self._parts[number].vectors(rows[here] - self._starts[number])
        return out

    def search(self, queries: Embeddings, k: int, allowed: Allowed | None = None, *, exact: bool = False) -> Matches:
        """The k best allowed rows a query: always as many as match, up to k; equal scores by the lower row."""
        return self._merged(self._search(queries, k, allowed, exact), len(queries), k)

    def search_explained(
        self, queries: Embeddings, k: int, allowed: Allowed | None = None, *, exact: bool = False
    ) -> tuple[Matches, list[dict[str, Any]]]:
        """What `search` gives, and for each part how it was searched and why."""
        found = self._search(queries, k, allowed, exact)
        plans = [{"part": number, **one.plan.explain()} for number, one in enumerate(found)]
        return self._merged(found, len(queries), k), plans

    def _search(self, queries: Embeddings, k: int, allowed: Allowed | None, exact: bool) -> list[Found]:
        if allowed is not None and len(allowed) != len(self):
            raise Mismatch(f"The filter covers {len(allowed)} rows; the index has {len(self)}.")
        values = np.ascontiguousarray(single(queries, self._dim))
        return [
            part.search(values, k, None if allowed is None else allowed[start : start + len(part)], exact=exact)
            for part, start in zip(self._searched, self._starts, strict=False)
        ]

    def _merged(self, found: list[Found], queries: int, k: int) -> Matches:
        if len(found) == 1:
            return Matches(found[0].scores, found[0].rows)
        none = np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64)
        rows = [np.where(one.rows < 0, -1, one.rows + start) for one, start in zip(found, self._starts, strict=False)]
        matches = padded(
            np.concatenate([none[0], *(one.scores for one in found)], axis=1),
            np.concatenate([none[1], *rows], axis=1),
            k,
        )
        return Matches(matches.scores[:, :k], matches.rows[:, :k])


def _placed(
    parts: Sequence[DensePart], device: "Device | None"
) -> list[tuple[Union[DensePart, "AcceleratedPart"], str]]:
    if device is None or not device.gpus:
        return [(part, "CPU") for part in parts]
    from retr.index.dense.gpu.accelerated import placed

    return [placed(part, device) for part in parts]
