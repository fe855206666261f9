"""The waiting line: which pieces of work go together next. Pure logic, without threads or clocks of its own."""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 4
"""So many batches in a row may leave out waiting bulk work for the sake of urgent work."""


@dataclass(slots=True, eq=False)
class Piece:
    """One unit of work that cannot be divided: `place` is its number within the request, `weight` its tokens."""

    work: Any
    weight: int
    owner: Any
    place: int
    key: Hashable
    arrived: float
    turn: int = 0


@dataclass(slots=True, eq=False)
class _Lane:
    """Pieces by key, each key's in the order they came."""

    queues: dict[Hashable, deque[Piece]] = field(default_factory=dict)
    pieces: int = 0

    def put(self, piece: Piece) -> None:
        self.queues.setdefault(piece.key, deque()).append(piece)
        self.pieces += 1

    def oldest(self) -> Piece | None:
        heads = [queue[0] for queue in self.queues.values()]
        return min(heads, key=lambda piece: piece.turn) if heads else None

    def take(self, key: Hashable, room: int, taken: list[Piece]) -> int:
        """Move pieces of the key into `taken` while they fit; gives the room that is left, 0 once one did not fit."""
        queue = self.queues.get(key)
        while queue and (queue[0].weight <= room or not taken):
            piece = queue.popleft()
            taken.append(piece)
            room -= piece.weight
            self.pieces -= 1
        if queue:
            return 0
        self.queues.pop(key, None)
        return max(room, 0)


class Line:
    """Pieces in two lanes, urgent and bulk, first come first served within each.

    Only pieces of one key share a batch. Urgent ones go first, but bulk work is left out at most PATIENCE times in a
    row. A piece that is heavier than a whole batch goes alone, so nothing can wait for ever.
    """

    def __init__(self) -> None:
        self._urgent, self._bulk = _Lane(), _Lane()
        self._turns = 0
        self._passed_over = 0
        self.weight = 0
        self.pieces = 0

    def put(self, pieces: Sequence[Piece], *, urgent: bool) -> None:
        """Append a request's pieces."""
        lane = self._urgent if urgent else self._bulk
        for piece in pieces:
            piece.turn = self._turns
            self._turns += 1
            lane.put(piece)
            self.weight += piece.weight
        self.pieces += len(pieces)

    def oldest(self) -> Piece | None:
        """The piece that the next batch starts with; None when nothing waits."""
        urgent, bulk = self._urgent.oldest(), self._bulk.oldest()
        if urgent is not None and (bulk is None or self._passed_over < PATIENCE):
            return urgent
        return bulk

    def take(self, room: int) -> list[Piece]:
        """The next batch: pieces of one key, together of at most `room`, or one piece that is heavier. Empty if none.

        What the urgent lane leaves free is filled from the bulk lane, and the other way round.
        """
        first = self.oldest()
        if first is None:
            return []
        bulk = self._bulk.pieces
        lanes = (self._bulk, self._urgent) if first is self._bulk.oldest() else (self._urgent, self._bulk)
        taken: list[Piece] = []
        for lane in lanes:
            room = lane.take(first.key, room, taken)
            if not room:
                break
        self._passed_over = self._passed_over + 1 if bulk and self._bulk.pieces == bulk else 0
        self.weight -= sum(piece.weight for piece in taken)
        self.pieces -= len(taken)
        return taken
