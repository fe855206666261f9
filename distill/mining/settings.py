"""What can be chosen about mining, and what a candidate's score may be beside its positive's."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from retr.index.settings import Mode, check_k
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, unknown

Sample = Literal["top", "uniform", "weighted"]

PERCENT_OF_POSITIVE = 0.05
"""NV-Retriever's TopK-PercPos keeps what scores under 95% of the positive (Moreira et al., 2024, arXiv 2407.15831)."""


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """How negatives are found, which are believed, and which are taken.

    `depth` documents a query are looked at; the best `skip_top` that are not known to be relevant are passed over.
    Of a scorer's scores, a candidate's may be at most the positive's less `margin`, at most the positive's less the
    share `relative_margin` of its size, and at most `max_score`; None: no such bound. Without any, `relative_margin` is
    0.05 for cosines and `margin` is auto for other scores. For auto, `measured` queries are drawn, and the margin is
    the least at which a candidate is a relevant document with a chance of at most `false_negatives`.
    """

    mode: Mode = "hybrid"
    depth: int = 100
    negatives: int = 8
    skip_top: int = 0
    sample: Sample = "top"
    seed: int = 0
    margin: float | Literal["auto"] | None = None
    relative_margin: float | None = None
    max_score: float | None = None
    false_negatives: float = 0.05
    measured: int = 500

    def __post_init__(self) -> None:
        for name, known in (("mode", Mode), ("sample", Sample)):
            if getattr(self, name) not in get_args(known):
                raise unknown(f"{name} of mining", str(getattr(self, name)), get_args(known))
        check_k(self.depth)
        for name, lowest in (("negatives", 1), ("skip_top", 0), ("seed", 0), ("measured", 1)):
            if getattr(self, name) < lowest:
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number of at least {lowest}.")
        if self.skip_top >= self.depth:
            raise BadInput(f"skip_top is {self.skip_top} of a depth of {self.depth}: nothing is left. Look deeper.")
        self._check_bounds()

    def _check_bounds(self) -> None:
        if self.margin != "auto" and self.margin is not None and not _finite(self.margin):
            raise BadInput(f"margin is {self.margin!r}; give a finite number, or auto.")
        if self.relative_margin is not None and not 0 <= self.relative_margin < 1:
            raise BadInput(
                f"relative_margin is {self.relative_margin:g}; give a share from 0 to below 1, such as 0.05."
            )
        if self.max_score is not None and not _finite(self.max_score):
            raise BadInput(f"max_score is {self.max_score:g}; give a finite number.")
        if not 0 < self.false_negatives < 1:
            raise BadInput(f"false_negatives is {self.false_negatives:g}; give a share between 0 and 1, such as 0.05.")

    @property
    def bounded(self) -> bool:
        """Whether anything is said of scores."""
        return (self.margin, self.relative_margin, self.max_score) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers in force; None: not bounded so."""

    margin: float | None = None
    relative_margin: float | None = None
    max_score: float | None = None

    def highest(self, positive: float) -> float:
        """The highest score that a negative beside this positive may have; what is above is taken for relevant.

        The share is taken of the score's size: below 0, where logits may lie, it lowers the bound as it does above 0.
        """
        limits = [math.inf]
        if self.margin is not None:
            limits.append(positive - self.margin)
        if self.relative_margin is not None:
            limits.append(positive - self.relative_margin * abs(positive))
        if self.max_score is not None:
            limits.append(self.max_score)
        return min(limits)

    def believed(self, positive: float, scores: Floats) -> NDArray[np.bool_]:
        """Which candidates count as negatives: bool [candidates]."""
        below: NDArray[np.bool_] = scores.astype(np.float64) <= self.highest(positive)
        return below


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
