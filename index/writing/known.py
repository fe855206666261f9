"""What a collection already holds, looked up by id while documents stream in."""

from collections.abc import Iterator

from retr.index.opened import Opened

_SCANS = 64
"""Lookups that scan the column of ids; whoever asks more often gets a dictionary, which takes memory and time."""


class Known:
    """The living documents of a snapshot by id."""

    def __init__(self, snapshot: Opened) -> None:
        self._snapshot = snapshot
        self._scans = 0
        self._numbers: dict[str, int] | None = None

    def number(self, id: str) -> int | None:
        """The document's number; None when no living document has the id."""
        if self._numbers is None and self._scans < _SCANS:
            self._scans += 1
            return self._snapshot.numbers_of([id]).get(id)
        return self._all().get(id)

    def hashes(self, number: int) -> tuple[bytes, bytes]:
        """(text hash, record hash) of a document."""
        return self._snapshot.hashes_of(number)

    def others(self, seen: set[str]) -> Iterator[str]:
        """The ids of all living documents but those."""
        return (id for id in self._all() if id not in seen)

    def _all(self) -> dict[str, int]:
        if self._numbers is None:
            self._numbers = {id: number for number, id in self._snapshot.all_ids()}
        return self._numbers
