"""Which way token vectors are searched: all scored, all codes scanned, or only the lists of near centroids."""

from dataclasses import dataclass
from typing import Any, Literal

from retr.index.late.settings import Effort
from retr.index.late.training import SCANNED

Way = Literal["float32", "all", "scan", "lists"]

LISTED = 20_000_000
"""Tokens from which on a part is given lists: scanning the codes of fewer takes some ten milliseconds."""
_CODED = 65_536
"""Tokens of 4 or 2 bits that are scored as fast as the centroids' tables are made for a scan."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one query is answered, over `tokens` tokens of the `matching` documents of `documents`.

    `float32` scores every document with the query as it was given, `all` with the rounded query; `scan` takes as
    candidates the best by their tokens' centroids, and `lists` the best of those with a token near a centroid of the
    query's. Only the last two may miss a document.
    """

    way: Way
    documents: int
    matching: int
    why: str
    candidates: int = 0
    nprobe: int = 0

    def explain(self) -> dict[str, Any]:
        """For `--explain`."""
        return {"plan": self.name, "rows": self.documents, "allowed": self.matching, "why": self.why}

    @property
    def name(self) -> str:
        """Such as `scan of all codes, 1024 candidates scored`."""
        if self.way in ("float32", "all"):
            return "every document scored" + (" in float32" if self.way == "float32" else "")
        where = "scan of all codes" if self.way == "scan" else f"scan of the lists of nprobe {self.nprobe}"
        return f"{where}, {self.candidates} candidates scored"


@dataclass(frozen=True, slots=True)
class Planner:
    """What is known of an index: its size, how its tokens are coded, and whether its parts have lists."""

    documents: int
    tokens: int
    bits: int
    coded: bool
    listed: bool

    def plan(self, k: int, matching: int, effort: Effort, *, exact: bool = False) -> Plan:
        """The cheapest way that is good enough for k hits of `matching` documents."""
        if exact:
            return Plan("float32", self.documents, matching, "an exact search was asked for")
        if not self.coded:
            return Plan("all", self.documents, matching, "tokens of 8 bits have no centroids here")
        candidates = effort.for_hits(k)
        if matching <= candidates:
            return Plan("all", self.documents, matching, f"{matching} documents match, and {candidates} may be scored")
        tokens = self.tokens * matching // max(self.documents, 1)
        few = SCANNED if self.bits == 8 else _CODED
        if tokens <= few and effort.candidates is None:
            return Plan("all", self.documents, matching, f"about {tokens} tokens match, which are few")
        if self.listed and tokens > LISTED:
            why = f"about {tokens} tokens match, more than {LISTED}"
            return Plan("lists", self.documents, matching, why, candidates, effort.nprobe)
        return Plan("scan", self.documents, matching, f"about {tokens} tokens match", candidates)
