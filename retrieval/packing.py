"""Small pieces of a text into passages of about equal size, cut where the text itself has a seam."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil

SENTENCE_SEAM = 0.02
INNER_SEAM = 0.5
"""What it costs to end a passage between sentences, or within one; between paragraphs it is free.

In units of the squared relative distance from the wished size: a passage is made 14% shorter or longer to end with
its sentence rather than with the best size and the middle of a paragraph, and up to 70% to end between sentences.
"""

_ENDS = ".!?…。！？:;)\"'”’]"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text without white space at its ends, and its size in tokens."""

    start: int
    end: int
    size: int


def pack(text: str, pieces: Sequence[Piece], capacity: int, overlap: int) -> list[tuple[int, int]]:
    """Spans of passages of at most `capacity` tokens, balanced: no small rest is left at an end or after a heading.

    Of all ways to put seams between the pieces, the one with the least sum of seam costs and squared distances from
    the balanced size. Then each passage takes in the pieces before it that fit into `overlap` tokens and `capacity`.
    """
    total = sum(piece.size for piece in pieces)
    # With n passages, n - 1 overlaps are read twice.
    count = max(1, ceil((total - overlap) / max(1, capacity - overlap)))
    wished = max(1.0, min(total / count, capacity - overlap))
    seams = _seam_costs(text, pieces)
    cuts = _best_cuts([piece.size for piece in pieces], seams, wished, capacity)
    return [
        (pieces[_reach_back(pieces, first, last, capacity, overlap)].start, pieces[last].end)
        for first, last in zip([0, *(cut + 1 for cut in cuts[:-1])], cuts, strict=True)
    ]


def _seam_costs(text: str, pieces: Sequence[Piece]) -> list[float]:
    """What it costs to end a passage after each piece."""
    costs = []
    for piece, following in zip(pieces, pieces[1:], strict=False):
        gap = text[piece.end : following.start]
        if gap.count("\n") >= 2:
            costs.append(0.0)
        else:
            costs.append(SENTENCE_SEAM if "\n" in gap or text[piece.end - 1] in _ENDS else INNER_SEAM)
    return [*costs, 0.0]


def _best_cuts(sizes: Sequence[int], seams: Sequence[float], wished: float, capacity: int) -> list[int]:
    """The last piece of every passage, by dynamic programming over the pieces."""
    before = [0, *accumulate(sizes)]
    best = [0.0] + [float("inf")] * len(sizes)
    came_from = [0] * (len(sizes) + 1)
    for last in range(1, len(sizes) + 1):
        first = last - 1
        while first >= 0:
            size = before[last] - before[first]
            if size > capacity and first < last - 1:
                break
            cost = best[first] + ((size - wished) / wished) ** 2 + seams[last - 1]
            if cost < best[last]:
                best[last], came_from[last] = cost, first
            first -= 1
    cuts, last = [], len(sizes)
    while last > 0:
        cuts.append(last - 1)
        last = came_from[last]
    return cuts[::-1]


def _reach_back(pieces: Sequence[Piece], first: int, last: int, capacity: int, overlap: int) -> int:
    """The first piece of the passage once it repeats the end of the one before."""
    room = min(overlap, capacity - sum(piece.size for piece in pieces[first : last + 1]))
    while first > 0 and pieces[first - 1].size <= room:
        first -= 1
        room -= pieces[first].size
    return first
