"""What can be chosen about a static student."""

from dataclasses import dataclass
from typing import Literal

from retr.retrieval.errors import BadInput

Weighting = Literal["none", "zipf", "sif"]

SIF_ALONE = 1e-4
SIF_FITTED = 1e-3
"""Chosen, as `prior` was, on the development sets of STS-B and SICK and the training queries of SciFact."""


@dataclass(frozen=True, slots=True)
class StaticSettings:
    """The `[static]` table of a recipe.

    `dim` is kept of the teacher's numbers, 0: all. `sif` is the constant a of that weighting; without it, 1e-4 as
    model2vec has it, and 1e-3 before a fit, which weighs words itself. `words` is the most whole
    words of the corpus that are added to the vocabulary, each seen at least `least` times. `fit` is how many passages
    of the corpus the table is fitted to, 0: none; `prior` is how strongly it stays near the vectors of single words.
    Without a corpus these four mean nothing. `held_out` passages take no part in the fit and measure the student.
    """

    dim: int = 256
    storage: Literal["float32", "float16", "int8"] = "float32"
    weighting: Weighting = "sif"
    sif: float | None = None
    words: int = 20_000
    least: int = 5
    fit: int = 20_000
    prior: float = 3.0
    held_out: int = 500

    def __post_init__(self) -> None:
        for name, lowest in (("dim", 0), ("words", 0), ("least", 1), ("fit", 0), ("held_out", 20)):
            if getattr(self, name) < lowest:
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number of at least {lowest}.")
        if self.held_out > 5000:
            raise BadInput(f"held_out is {self.held_out}; give at most 5,000: every pair of them is compared.")
        for name in ("sif", "prior"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise BadInput(f"{name} is {value:g}; give a number above 0.")
