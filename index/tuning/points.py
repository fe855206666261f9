"""What is measured of one setting."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.tuning.candidates import Candidate


@dataclass(frozen=True, slots=True)
class Build:
    """What a kind costs before it is searched.

    `bytes` are all its files; `memory` those a search walks through and that should stay in memory: the FAISS file, or
    the vectors where there is none. The vectors of an approximate kind are read only where a candidate is scored.
    """

    seconds: float
    bytes: int
    memory: int
    factory: str = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds of one query alone on one thread, by the clock and of CPU time; queries a second on all cores."""

    median_ms: float
    p95_ms: float
    cpu_ms: float
    qps: float


@dataclass(frozen=True, eq=False)
class Point:
    """One setting, measured: recall of each query [queries], of those that choose and of those that check."""

    candidate: Candidate
    build: Build
    speed: Speed
    choosing: NDArray[np.float64]
    checking: NDArray[np.float64]

    @cached_property
    def recall(self) -> float:
        """The mean over the choosing queries."""
        return float(self.choosing.mean())

    @cached_property
    def held_out(self) -> float:
        """The mean over the checking queries."""
        return float(self.checking.mean())

    def describe(self) -> dict[str, Any]:
        """As JSON values, without the single queries."""
        build = asdict(self.build)
        return {
            **asdict(self.candidate),
            "recall": round(self.recall, 6),
            "held_out_recall": round(self.held_out, 6),
            **{name: round(value, 4) for name, value in asdict(self.speed).items()},
            "build_seconds": round(build["seconds"], 3),
            "bytes": build["bytes"],
            "memory_bytes": build["memory"],
            "factory": build["factory"],
        }
