"""Which settings are measured for each kind: ladders from the least effort to the most."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
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

GROWTH = {"refine": 0.15, "nprobe": 0.35, "ef": 0.3}
"""Powers of the number of rows by which effort grows at equal recall@10, with a little to spare. Measured on MiniLM
vectors of real texts from 5,000 to 100,000 rows: 0.06 to 0.13, 0.3, and 0.24."""

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
        """The effort that all `rows` need for the recall that this one had on a sample of them: an estimate."""
        if rows <= sampled:
            return self
        grown = {name: getattr(self, name) for name in GROWTH}
        limits = {"refine": max(1, rows // SHALLOW), "nprobe": FAMILIES[self.kind].lists(rows) if self.nprobe else 1}
        return replace(
            self,
            **{
                name: min(ceil(value * (rows / sampled) ** GROWTH[name]), limits.get(name, rows))
                for name, value in grown.items()
                if value is not None
            },
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
