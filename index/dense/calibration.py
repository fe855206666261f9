"""How hard an approximate search must try for a recall, measured on the part's own vectors.

Each of a seeded sample of rows is searched for, itself left out, and compared with the exact neighbours. Since every
candidate is scored exactly in the end, a true neighbour is found when and only when it is among the candidates: one
search with many candidates tells the recall at every smaller number of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.ann import AnnIndex
from retr.index.dense.kinds import COSTED_PART, FAMILIES, Effort, cost
from retr.index.dense.scan import scan
from retr.index.dense.settings import DenseSettings
from retr.index.dense.storage import StoredVectors
from retr.index.dense.threads import one_thread
from retr.retrieval.errors import Damaged

SAMPLE = 200
DEPTHS = (10, 100)
"""Hits that effort is measured for; between and beyond, it grows as the power law through both."""
_MARGIN = 0.6
"""The sample's goal lies this share of the way from the target to 1. Rows of the index are easier to find than what is
not in it: over MiniLM vectors of passages, real questions missed 1 to 2 times as many neighbours as the sample did."""
FILTER_DEPTH = 4
"""A filter on a topic leaves rows far from a query on another. Over MiniLM vectors, with 12 of 20 clusters allowed and
the query's own not among them, recall fell to 0.95 with lists and with a graph, and to 0.98 with codes alone."""
_MOST_CANDIDATES = 2_048
_MOST_EF = 1_024


@dataclass(frozen=True, slots=True)
class Calibration:
    """The effort for 10 and for 100 hits, and the recall that each had on the sample."""

    shallow: Effort
    deep: Effort
    recall: float = 0.0
    deep_recall: float = 0.0
    queries: int = 0

    def at(self, k: int, share: float, most: int) -> Effort:
        """The effort for k hits where a filter leaves `share` of the rows, of which `most` candidates are scored.

        With a filter it reaches for k / share hits, and deeper yet, since the rows that match may lie far off.
        """
        depth = k if share >= 1 else FILTER_DEPTH * k
        candidates = _grown(self.shallow.candidates, self.deep.candidates, depth)
        width = _grown(self.shallow.width, self.deep.width, depth / share)
        return Effort(min(most, max(k, candidates)), width)

    def facts(self, *, graph: bool) -> dict[str, Any]:
        """What the manifest keeps: numbers for 10 hits, and under `deep` those for 100."""
        name = "ef" if graph else "nprobe"
        return {
            "refine": -(-self.shallow.candidates // DEPTHS[0]),
            name: self.shallow.width,
            "recall": round(self.recall, 4),
            "deep": {
                "hits": DEPTHS[1],
                "candidates": self.deep.candidates,
                name: self.deep.width,
                "recall": round(self.deep_recall, 4),
            },
            "queries": self.queries,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Calibration":
        """What `facts` gave."""
        name = "ef" if "ef" in facts else "nprobe"
        try:
            shallow = Effort(int(facts["refine"]) * DEPTHS[0], int(facts[name]))
            deep = Effort(int(facts["deep"]["candidates"]), int(facts["deep"][name]))
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"The manifest's dense facts are incomplete ({error!r}). Run: retr check") from None
        return cls(shallow, deep)


def _grown(shallow: int, deep: int, k: float) -> int:
    """The power law through (10, shallow) and (100, deep), flat below 10."""
    if k <= DEPTHS[0] or deep == shallow:
        return shallow
    return int(np.ceil(shallow * (deep / shallow) ** np.log10(k / DEPTHS[0])))


def calibrate(
    stored: StoredVectors, ann: AnnIndex, kind: str, settings: DenseSettings, *, part: int = COSTED_PART, seed: int = 0
) -> Calibration:
    """The cheapest effort that reaches the target recall, or the hardest one where none does."""
    rng = np.random.default_rng([seed, 1])
    own = np.sort(rng.choice(len(stored), min(SAMPLE, len(stored)), replace=False)).astype(np.int64)
    queries = stored.take(own)
    with one_thread():
        truth = _without_own(scan(stored, queries, DEPTHS[1] + 1)[1], own)[:, : DEPTHS[1]]
        samples = [_Sample(stored, ann, kind, part, own, queries, truth[:, :depth]) for depth in DEPTHS]
        found = [_cheapest(sample, settings) for sample in samples]
    (shallow, recall), (deep, deep_recall) = found
    deep = Effort(max(deep.candidates, shallow.candidates), max(deep.width, shallow.width))
    return Calibration(shallow, deep, recall, deep_recall, len(own))


@dataclass(frozen=True, slots=True)
class _Sample:
    stored: StoredVectors
    ann: AnnIndex
    kind: str
    part: int
    own: NDArray[np.int64]
    queries: NDArray[np.float32]
    truth: NDArray[np.int64]

    @property
    def depth(self) -> int:
        return int(self.truth.shape[1])

    def cost(self, effort: Effort) -> float:
        return cost(FAMILIES[self.kind], len(self.stored), self.ann.lists, effort, self.part)

    def ranks(self, effort: Effort) -> NDArray[np.int64]:
        """Where among the candidates each true neighbour came, from 1, rising; those not found count as past all."""
        rows = _without_own(self.ann.search(self.queries, effort), self.own)
        missing = np.iinfo(np.int64).max
        ranks = np.full(self.truth.size, missing)
        for number, (true, got) in enumerate(zip(self.truth, rows, strict=True)):
            order = np.argsort(got)
            places = np.minimum(np.searchsorted(got, true, sorter=order), len(got) - 1)
            hit = got[order[places]] == true
            at = number * self.depth
            ranks[at : at + self.depth][hit] = order[places][hit] + 1
        return np.sort(ranks)


def _cheapest(sample: _Sample, settings: DenseSettings) -> tuple[Effort, float]:
    goal = settings.recall + _MARGIN * (1 - settings.recall)
    needed = max(0, int(np.ceil(goal * sample.truth.size)) - 1)
    best: tuple[Effort, float] | None = None
    hardest: tuple[Effort, float] | None = None
    for effort in _ladder(sample, settings):
        if best is not None and sample.cost(Effort(sample.depth, effort.width)) >= sample.cost(best[0]):
            break
        ranks = sample.ranks(Effort(effort.candidates + 1, effort.width))
        found = int(np.count_nonzero(ranks <= effort.candidates))
        reached = found > needed
        if settings.refine is None and not sample.ann.graph and found:
            # Out of reach, the goal is the same share of what these lists hold: more candidates would bring little.
            last = needed if reached else max(0, int(np.ceil(goal * found)) - 1)
            effort = Effort(max(sample.depth, -(-int(ranks[last]) // 10) * 10), effort.width)
        recall = float(np.mean(ranks <= effort.candidates))
        if reached and (best is None or sample.cost(effort) < sample.cost(best[0])):
            best = effort, recall
        if hardest is None or recall > hardest[1]:
            hardest = effort, recall
    assert hardest is not None
    return best or hardest


def _ladder(sample: _Sample, settings: DenseSettings) -> Iterator[Effort]:
    """Efforts from the least to the most, with the numbers that the user fixed."""
    rows = len(sample.stored)
    most = min(_MOST_CANDIDATES, rows - 1) if settings.refine is None else min(settings.refine * sample.depth, rows - 1)
    fixed = settings.ef if sample.ann.graph else settings.nprobe
    if fixed is not None:
        widths = [fixed if sample.ann.graph else min(fixed, sample.ann.lists)]
    elif sample.ann.graph:
        widths = [width for width in _steps(_MOST_EF) if width >= 16]
    else:
        widths = _steps(sample.ann.lists)
    for width in widths:
        yield Effort(min(max(width, sample.depth), rows - 1) if sample.ann.graph else most, width)


def _steps(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, ... up to and with the most."""
    steps = {int(2**n * factor) for n in range(1, 31) for factor in (1, 1.5) if 2**n * factor < most}
    return sorted(steps | {1, most})


def _without_own(rows: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each line without its own row, or without its last where it has no own: one column less."""
    is_own = rows == own[:, None]
    lines = np.flatnonzero(~is_own.any(axis=1))
    is_own[lines, -1] = True
    others: NDArray[np.int64] = rows[~is_own].reshape(len(rows), -1)
    return others
