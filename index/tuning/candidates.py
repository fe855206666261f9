"""Which settings are measured for each kind: ladders from the least effort to the most."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil, log
from typing import Any

from retr.index.dense.kinds import FAMILIES
from retr.index.dense.settings import DenseSettings, Kind, Storage

REFINES: dict[str, tuple[int, ...]] = {
    "pq": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64),
    "ivf-pq": (1, 2, 4, 8, 16, 32, 64),
    "rabitq": (1, 2, 4, 8, 16, 32, 64),
    "ivf-sq8": (1, 2, 4),
    "ivf-flat": (1,),
    "hnsw": (1,),
}
"""Candidates a hit that are scored exactly: the more, the coarser a kind's codes are."""
EFS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

SHALLOW, DEEP = 10, 100
"""Hits for which a part's facts name candidates."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One kind with one storage and one effort. None: the kind has no such number."""

    kind: Kind
    storage: Storage
    refine: int | None = None
    nprobe: int | None = None
    ef: int | None = None

    @property
    def name(self) -> str:
        """Such as `ivf-pq, int8, refine 4, nprobe 16`."""
        numbers = {"refine": self.refine, "nprobe": self.nprobe, "ef": self.ef}
        return ", ".join([self.kind, self.storage, *(f"{name} {value}" for name, value in numbers.items() if value)])

    def settings(self, now: DenseSettings, *, recall: float) -> DenseSettings:
        """What a collection with the settings `now` is rebuilt with."""
        return replace(
            now,
            kind=self.kind,
            storage=self.storage,
            recall=recall,
            refine=self.refine,
            nprobe=self.nprobe,
            ef=self.ef,
        )

    def facts(self, built: Mapping[str, Any]) -> dict[str, Any]:
        """The facts of a built part with this effort in the place of its own."""
        if self.kind == "flat":
            return dict(built)
        name, width = ("ef", self.ef) if FAMILIES[self.kind].graph else ("nprobe", self.nprobe)
        width = width or 1
        refine = ceil(max(width, SHALLOW) / SHALLOW) if name == "ef" else self.refine or 1
        candidates = max(width, DEEP) if name == "ef" else refine * DEEP
        deep = {"hits": DEEP, "candidates": min(candidates, int(built["rows"]) - 1), name: width}
        return {**built, "refine": refine, name: width, "deep": deep}

    def for_rows(self, rows: int, *, sampled: int) -> "Candidate":
        """The same effort for all `rows`, where it was measured on a sample of them; the result is to be measured.

        The same share of all lists is searched. A code's error lets a number of wrong rows pass before a true
        neighbour that grows with the rows, and so does `refine`. A graph's paths grow with the logarithm.
        """
        if rows <= sampled:
            return self
        more = rows / sampled
        lists = 1.0 if self.nprobe is None else FAMILIES[self.kind].lists(rows) / FAMILIES[self.kind].lists(sampled)
        return replace(
            self,
            refine=None if self.refine is None else min(ceil(self.refine * more), max(1, rows // SHALLOW)),
            nprobe=None if self.nprobe is None else ceil(self.nprobe * lists),
            ef=None if self.ef is None else ceil(self.ef * log(rows) / log(sampled)),
        )


def ladders(kind: Kind, storage: Storage, *, rows: int, k: int) -> Iterator[list[Candidate]]:
    """Ladders of rising `refine`, one for each number of lists searched or each `ef`, which rise as well."""
    if kind == "flat":
        yield [Candidate(kind, storage)]
        return
    family = FAMILIES[kind]
    if family.graph:
        for ef in EFS:
            if max(ef, k) < rows:
                yield [Candidate(kind, storage, ef=ef)]
        return
    lists = family.lists(rows)
    refines = [refine for refine in REFINES[kind] if refine * max(k, SHALLOW) < rows]
    for nprobe in _doubled(lists) if refines else []:
        yield [Candidate(kind, storage, refine, None if lists == 1 else nprobe) for refine in refines]


def _doubled(most: int) -> list[int]:
    """1, 2, 4, ... up to and with the most."""
    return sorted({2**step for step in range(most.bit_length()) if 2**step < most} | {most})
