"""RankNet: of two candidates the better one is to win, by the lead of its score or by a head that compares them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from retr.encoders.objectives.checks import positive
from retr.encoders.objectives.scores import Scored, scores_by_student
from retr.encoders.objectives.similarity import Similarity
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput

Order = list[tuple[int, int]]
"""Candidates of a row by number: the better one, the worse one."""


@runtime_checkable
class Comparing(Protocol):
    """A student whose head reads two candidates at once."""

    def compare(self, queries: Sequence[str], pairs: Sequence[Sequence[tuple[str, str]]]) -> list[Tensor]:
        """For each query [its pairs], the log-odds that the first text is the better one."""
        ...


@dataclass(frozen=True, slots=True)
class RankNet:
    """-log of P(better > worse), the mean over all pairs of candidates of unequal grade (Burges et al. 2005).

    P is sigmoid(sigma * (s_better - s_worse)) of a student's scores. A pairwise cross-encoder is asked for P itself, of
    each pair in both orders (duoBERT: Nogueira et al. 2019). Grades are the row's `scores`; without them the positive
    has 1 and each negative 0.
    """

    sigma: float = 1.0
    student: Scored = "auto"
    similarity: Similarity = "cosine"

    def __post_init__(self) -> None:
        """Refuse a sigma that is not above zero."""
        positive(sigma=self.sigma)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over all pairs of all rows."""
        grades = batch.scores or [(1.0, *(0.0,) * (len(texts) - 1)) for texts in batch.candidates]
        orders = [_order(row) for row in grades]
        if not any(orders):
            raise BadInput("ranknet found no two candidates of unequal grade in a batch. Give negatives, or scores.")
        if isinstance(student, Comparing):
            return self._by_comparing(student, batch, orders)
        rows = zip(scores_by_student(student, batch, self.student, self.similarity), orders, strict=True)
        leads = [row[better] - row[worse] for row, order in rows for better, worse in order]
        return softplus(-self.sigma * torch.stack(leads)).mean()

    def _by_comparing(self, student: Comparing, batch: Batch, orders: Sequence[Order]) -> Tensor:
        """A pair stands once with the better text first, and once with the worse one."""
        rows = zip(batch.candidates, orders, strict=True)
        right = [[(texts[better], texts[worse]) for better, worse in order] for texts, order in rows]
        both = [[*group, *((worse, better) for better, worse in group)] for group in right]
        found = student.compare(batch.queries, both)
        signed = torch.cat([row * row.new_tensor([1.0, -1.0]).repeat_interleave(len(row) // 2) for row in found])
        return softplus(-self.sigma * signed).mean()


def _order(grades: Sequence[float]) -> Order:
    """Every pair of unequal grades, the better one first."""
    pairs = [(one, other) for one, other in combinations(range(len(grades)), 2) if grades[one] != grades[other]]
    return [(one, other) if grades[one] > grades[other] else (other, one) for one, other in pairs]
