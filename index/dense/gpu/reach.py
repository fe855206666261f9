"""How far a device looks for k rows: candidates a query and lists searched, at first and when too few of them count.

A GPU index of FAISS takes no filter. So more candidates are asked for than are wanted, as many as the filter's share
calls for, and four times as many (in four times as many lists) while too few pass, up to what FAISS allows.
"""

from dataclasses import dataclass
from math import ceil

from retr.index.dense.calibration import Calibration
from retr.index.dense.kinds import Effort
from retr.index.dense.planning import WIDER

MOST_CANDIDATES = 2_048
"""What FAISS gives back at most for one query on a GPU, and the most lists that it searches there."""
MOST_OF_GRAPH = 512
"""What CAGRA keeps of a search in the memory of one block of threads."""

SLACK = 16
"""Further candidates a query: rows whose scores differ by rounding alone may change places."""

_GRAPH_FACTOR = 8
_OVERSHOOT = 1.5
"""By chance a query's neighbours may pass a filter less often than others do; this makes up for most."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one index on a device can be asked for.

    `lists` of an inverted file (0: it has none) are searched as the part's calibration says. `exact`: searched in
    full, it ranks rows by their vectors, so that no more candidates than hits are needed but for rounding.
    """

    most: int = MOST_CANDIDATES
    exact: bool = True
    factor: int = 1
    lists: int = 0
    calibration: Calibration | None = None

    @classmethod
    def graph(cls) -> "Reach":
        """CAGRA: approximate, and wider for being asked for more."""
        return cls(MOST_OF_GRAPH, exact=False, factor=_GRAPH_FACTOR)

    def first(self, k: int, rows: int, matching: int, *, exact: bool = False) -> Effort | None:
        """The effort for k of the `matching` rows; None for what only the CPU can do."""
        if exact and not self.exact:
            return None
        share = matching / rows
        wanted, width = self.factor * k + SLACK, 0
        if self.calibration is not None:
            effort = self.calibration.at(k, share, rows)
            width = self.lists if exact else min(effort.width, self.lists)
            wanted = wanted if self.exact else max(wanted, effort.candidates)
        if share < 1:
            wanted = ceil(_OVERSHOOT * wanted / share)
        wanted = min(wanted, rows)
        return None if wanted > self.most or width > MOST_CANDIDATES else Effort(wanted, width)

    def enough(self, k: int, matching: int, *, exact: bool = False) -> int:
        """Rows that must pass for the k best to be settled: with some to spare where the answer is to be exact."""
        return min(k + SLACK, matching) if exact or (self.exact and not self.lists) else min(k, matching)

    def wider(self, effort: Effort, rows: int) -> Effort | None:
        """The next try after one that left queries short; None when there is none."""
        candidates = min(effort.candidates * WIDER, self.most, rows)
        further = Effort(candidates, min(effort.width * WIDER, self.lists, MOST_CANDIDATES))
        return None if further == effort else further
