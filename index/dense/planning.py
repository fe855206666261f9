"""Which way a part is searched: an exact scan of the rows that match, or its approximate index with a filter."""

from dataclasses import dataclass
from typing import Any

from retr.index.dense.calibration import Calibration
from retr.index.dense.kinds import COSTED_PART, FAMILIES, Effort, cost

WIDER = 4
"""A search that brought fewer rows than match tries again with so many times the lists and candidates."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one part is searched for k hits. Without an effort every row that matches is scored exactly."""

    kind: str
    rows: int
    matching: int
    why: str
    effort: Effort | None = None

    def explain(self) -> dict[str, Any]:
        """For `--explain`."""
        return {"plan": self.name, "rows": self.rows, "allowed": self.matching, "why": self.why}

    @property
    def name(self) -> str:
        """Such as `exact scan`, or `ivf-pq, nprobe 24, 160 candidates scored exactly`, a width of 0 left out."""
        if self.effort is None:
            return "exact scan" if self.matching == self.rows else "exact scan of the rows that match"
        width = {"hnsw": f", ef {self.effort.width}", "pq": ""}.get(self.kind, f", nprobe {self.effort.width}")
        width = width if self.effort.width else ""
        return f"{self.kind}{width}, {self.effort.candidates} candidates scored exactly"


@dataclass(frozen=True, slots=True)
class Planner:
    """What is known of a part: its kind, its size, its calibration (none: only exact scans), and how many numbers share
    one of its 4-bit codes."""

    kind: str
    rows: int
    lists: int = 1
    calibration: Calibration | None = None
    part: int = COSTED_PART

    def plan(self, k: int, matching: int, *, exact: bool = False) -> Plan:
        """The cheaper way to the k best of the rows that match."""
        if self.calibration is None:
            return Plan(self.kind, self.rows, matching, "this part has vectors only")
        if exact:
            return Plan(self.kind, self.rows, matching, "an exact search was asked for")
        if k >= matching:
            return Plan(self.kind, self.rows, matching, f"{k} hits are asked for and {matching} rows match")
        effort = self._bounded(self.calibration.at(k, matching / self.rows, self.rows), matching)
        price = self.price(effort)
        if matching <= price:
            return Plan(self.kind, self.rows, matching, f"{matching} exact scores cost less than about {price:.0f}")
        return Plan(self.kind, self.rows, matching, f"costs about {price:.0f} exact scores of {matching}", effort)

    def wider(self, plan: Plan) -> Plan:
        """The next try after one that brought too few rows; an exact scan once that costs no more."""
        assert plan.effort is not None
        effort = Effort(min(plan.effort.candidates * WIDER, self.rows), plan.effort.width * WIDER)
        effort = self._bounded(effort, plan.matching)
        why = f"{plan.name} brought fewer rows than match"
        if effort == plan.effort or plan.matching <= self.price(effort):
            return Plan(self.kind, self.rows, plan.matching, why)
        return Plan(self.kind, self.rows, plan.matching, why, effort)

    def price(self, effort: Effort) -> float:
        """The cost of one approximate search, in rows scored exactly."""
        return cost(FAMILIES[self.kind], self.rows, self.lists, effort, self.part)

    def _bounded(self, effort: Effort, matching: int) -> Effort:
        if not FAMILIES[self.kind].graph:
            return Effort(effort.candidates, min(effort.width, self.lists))
        # A graph walks through rows that do not match, and its `ef` counts them too.
        width = effort.width * self.rows // matching
        return Effort(effort.candidates, min(max(width, effort.candidates), self.rows))
