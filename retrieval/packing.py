"""Small pieces of a text into passages of about equal size, cut where the text itself has a seam."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np

from retr.retrieval.seams import INNER_SEAM, seam_cost


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text without white space at its ends, and its size in tokens."""

    start: int
    end: int
    size: int


def pack(text: str, pieces: Sequence[Piece], capacity: int, overlap: int) -> list[tuple[int, int]]:
    """Spans of passages of at most `capacity` tokens by their pieces' sizes, balanced: no small rest at the end.

    Of all ways to put the pieces into passages, the one with the least sum, over the passages, of the squared relative
    distance from the balanced size and of what its end costs (`seams.seam_cost`). Then each passage takes in the pieces
    before it that fit into `overlap` tokens, at most half of `capacity`, and into `capacity`; one that starts within a
    sentence is kept short enough for the whole overlap. A piece larger than that becomes a passage of its own.
    """
    if not pieces:
        return []
    overlap = min(overlap, capacity // 2)
    # A piece without tokens counts as one, so that a passage has at most `capacity` pieces and the search stays short.
    sizes = [max(piece.size, 1) for piece in pieces]
    seams = [seam_cost(text, piece.end, after.start) for piece, after in pairwise(pieces)]
    if sum(sizes) <= capacity:
        return [(pieces[0].start, pieces[-1].end)]
    limits = [capacity, *(capacity - overlap if seam == INNER_SEAM else capacity for seam in seams)]
    firsts = _best_firsts(sizes, [*seams, 0.0], limits, overlap)
    starts = [0]
    for first, after in pairwise([*firsts[1:], len(pieces)]):
        room = min(overlap, capacity - sum(sizes[first:after]))
        starts.append(_reach_back(sizes, first, starts[-1] + 1, room))
    lasts = [*(first - 1 for first in firsts[1:]), len(pieces) - 1]
    return [(pieces[start].start, pieces[last].end) for start, last in zip(starts, lasts, strict=True)]


def _best_firsts(sizes: Sequence[int], seams: Sequence[float], limits: Sequence[int], overlap: int) -> list[int]:
    """The first piece of every passage, by dynamic programming: the best way to pack the first n pieces, for each n.

    `limits` has the most tokens of a passage that starts with each piece. The balanced size is what each of the fewest
    passages that can hold the text would have beside its overlap; the first has more, as it repeats nothing.
    """
    before = np.concatenate([[0], np.cumsum(sizes)])
    reach = before[:-1] + np.asarray(limits)
    furthest = np.minimum(np.searchsorted(before, before[1:] - limits[0]), np.arange(len(sizes)))
    own = int(before[-1]) - overlap
    balanced = own / ceil(own / (limits[0] - overlap))
    places = before / balanced
    places[0] = overlap / balanced
    best = np.zeros(len(sizes) + 1)
    came_from = [0] * (len(sizes) + 1)
    for count, (furthest_first, seam) in enumerate(zip(furthest.tolist(), seams, strict=True), start=1):
        distances = places[furthest_first:count] - (places[count] - 1)
        costs = distances * distances + best[furthest_first:count]
        # All but the last: a piece that is too large stands alone.
        costs[:-1][reach[furthest_first : count - 1] < before[count]] = np.inf
        choice = int(costs.argmin())
        best[count] = costs[choice] + seam
        came_from[count] = furthest_first + choice
    firsts, count = [], len(sizes)
    while count > 0:
        count = came_from[count]
        firsts.append(count)
    return firsts[::-1]


def _reach_back(sizes: Sequence[int], first: int, earliest: int, room: int) -> int:
    """The first piece of the passage once it repeats the end of the one before, but never the whole of that."""
    while first > earliest and sizes[first - 1] <= room:
        first -= 1
        room -= sizes[first]
    return first
