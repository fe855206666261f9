"""The coded tokens of an index folder as a store gives them: for what moves collections, and must hold of both."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retr.index.snapshot import Snapshot
from retr.index.stores.coding import kept_by, to_bytes
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged
from retr.retrieval.store import CodecUse, CodedTokens, TokensQuery

if TYPE_CHECKING:
    from retr.index.late.part import LatePart


class FolderTokens:
    """The parts of one generation of a folder; rows are the folder's own."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._folder = snapshot.folder
        self._parts: list[LatePart] = [segment.late for segment in snapshot.segments if segment.late is not None]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self._live = np.flatnonzero(snapshot.live[snapshot.document_of])

    def codecs(self) -> dict[str, CodecUse]:
        """The codecs by key, in the order they came; of living passages."""
        found: dict[str, CodecUse] = {}
        for part, start in zip(self._parts, self._starts, strict=False):
            own = self._live[(self._live >= start) & (self._live < start + len(part))] - start
            tokens = int(np.diff(part.tokens.offsets)[own].sum())
            before = found.get(part.codec.key, CodecUse())
            size = tokens * (part.codec.width + (2 if part.codec.coded else 0))
            found[part.codec.key] = CodecUse(before.passages + len(own), before.bytes + size)
        return found

    def codec(self, key: str) -> bytes:
        """A codec as it is kept in a store. Damaged where there is none of the key."""
        found = next((part.codec for part in self._parts if part.codec.key == key), None)
        if found is None:
            raise Damaged(f"The codec {key[:12]} is in no segment of {str(self._folder)!r}. Run: retr check")
        return to_bytes(found)

    def of(self, rows: list[int]) -> list[CodedTokens]:
        """The tokens of rows, in the order given."""
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        return [
            kept_by(self._parts[number], row - int(self._starts[number]))
            for number, row in zip(numbers.tolist(), rows, strict=True)
        ]

    def reached(self, query: TokensQuery) -> tuple[NDArray[np.int64], Floats]:
        """The living rows that are in one of the query's lists, and what they reach, best first."""
        rows, scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for part, start in zip(self._parts, self._starts, strict=False):
            if part.codec.key != query.codec or part.tokens.codes is None:
                continue
            weights = np.full((int(query.tokens.max()) + 1, len(part.codec.centroids)), -np.inf, np.float32)
            weights[query.tokens, query.lists] = query.weights
            best = np.maximum.reduceat(weights[:, part.tokens.centroids(slice(None))], part.tokens.offsets[:-1], axis=1)
            listed = np.isfinite(best)
            rows.append(np.flatnonzero(listed.any(axis=0)) + start)
            scores.append(np.where(listed, best, 0).sum(axis=0)[listed.any(axis=0)].astype(np.float32))
        found, reach = np.concatenate(rows), np.concatenate(scores)
        living = np.isin(found, self._live)
        order = np.lexsort((found[living], -reach[living]))
        return found[living][order], reach[living][order]
