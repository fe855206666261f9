"""BM25 for stores that have none of their own: the weights of terms, with statistics that a store counts.

As Lucene and tantivy have it (k1 1.2, b 0.75; Robertson and Zaragoza, 2009), lengths rounded as they round them, so
that a store gives the scores that an index folder gives.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

K1, B = 1.2, 0.75
_EXACT = 40
"""Lengths up to here are kept as they are."""


@dataclass(frozen=True, slots=True)
class WordStatistics:
    """Passages of a collection, terms in all of them, and in how many passages each term of a query stands."""

    passages: int
    length: int
    holding: Mapping[str, int]

    @property
    def average(self) -> float:
        """Terms in a passage."""
        return self.length / self.passages if self.passages else 0.0

    def idf(self, term: str) -> float:
        """How much a term tells: ln(1 + (N - n + 0.5) / (n + 0.5))."""
        count = self.holding.get(term, 0)
        return math.log(1 + (self.passages - count + 0.5) / (count + 0.5))

    def weights(self, terms: Mapping[str, int]) -> dict[str, float]:
        """The most that each term can give, of those that stand anywhere; `terms` says how often each is asked for."""
        return {term: times * (K1 + 1) * self.idf(term) for term, times in terms.items() if self.holding.get(term)}

    def norm(self) -> tuple[float, float]:
        """(a, c) so that a term gives weight x count / (count + a + c x length)."""
        return K1 * (1 - B), K1 * B / self.average if self.length else 0.0


def kept_length(length: int) -> int:
    """A passage's length as one byte holds it: exact up to 40 terms, then rounded down to four leading bits."""
    if length < _EXACT:
        return length
    beyond = length - 24
    shift = beyond.bit_length() - 4
    return 24 + ((beyond >> shift) << shift)
