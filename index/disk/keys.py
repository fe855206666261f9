"""From rows to passages' keys and back, over all segments of a generation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.segments import OpenSegment


class Keys:
    """Keys rise with rows. Where nothing was ever merged away a key is its row, and no file is read."""

    def __init__(self, segments: Sequence[OpenSegment]) -> None:
        self._segments = segments
        self._same = all(segment.facts.first_key == segment.facts.first_row for segment in segments)
        self._all: NDArray[np.int64] | None = None

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The keys of rows."""
        return rows if self._same else self._table()[rows]

    def rows(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of keys, all of which must be there."""
        return keys if self._same else np.searchsorted(self._table(), keys)

    def _table(self) -> NDArray[np.int64]:
        if self._all is None:
            self._all = np.concatenate([np.empty(0, np.int64), *(segment.keys for segment in self._segments)])
        return self._all
