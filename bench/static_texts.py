"""Similarity sets of RETR_DATA and their scores, with paired bootstrap intervals."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.distill.static.figures import spearman

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two texts a line and how alike people found them."""

    first: Sequence[str]
    second: Sequence[str]
    grades: Any

    @classmethod
    def load(cls, path: Path) -> "Pairs":
        """A TSV with the columns sentence1, sentence2 and score, without quoting."""
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        grades = np.array([float(row["score"]) for row in rows], np.float32)
        return cls([row["sentence1"] for row in rows], [row["sentence2"] for row in rows], grades)

    def cosines(self, encoder: Any) -> Any:
        """Of each pair, float32 [pairs]."""
        return (encoder.encode_documents(self.first).values * encoder.encode_documents(self.second).values).sum(axis=1)


def compared(one: Any, other: Any, grades: Any, *, seed: int) -> tuple[float, float, float]:
    """The difference of two Spearman correlations over the same pairs, with a 95% interval of resampled pairs."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, len(grades), len(grades)) for _ in range(RESAMPLES))
    deltas = [spearman(one[rows], grades[rows]) - spearman(other[rows], grades[rows]) for rows in drawn]
    low, high = np.percentile(deltas, [2.5, 97.5])
    return spearman(one, grades) - spearman(other, grades), float(low), float(high)
