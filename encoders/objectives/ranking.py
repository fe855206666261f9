"""LambdaLoss: every pair in the wrong order costs what it takes away from nDCG."""

from dataclasses import dataclass
from math import log
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from retr.encoders.objectives.checks import positive
from retr.encoders.objectives.scores import Scored, scores_by_student
from retr.encoders.objectives.similarity import Similarity
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch


@dataclass(frozen=True, slots=True)
class LambdaLoss:
    """-sum over pairs y_i > y_j of weight_ij * log2 sigmoid(sigma (s_i - s_j)), by the number of pairs.

    (Wang et al. 2018, eq. 10, 15 and 17.) `weights`: `ndcg1` is not here; `lambdarank` is |G_i - G_j| |1/D_i - 1/D_j|,
    `ndcg2` takes 1/D_|i-j| - 1/D_(|i-j|+1) for its second factor, and `ndcg2++` is their sum, the second times `mu`.
    G is (2^y - 1) over the ideal DCG and D log2(1 + rank), by the ranks of the student's scores. A row's grades are its
    `scores`; without them the positive has 1 and each negative 0. With `k`, pairs wholly below rank k do not count.
    """

    weights: Literal["lambdarank", "ndcg2", "ndcg2++"] = "ndcg2++"
    mu: float = 10.0
    sigma: float = 1.0
    k: int | None = None
    student: Scored = "scores"
    similarity: Similarity = "cosine"

    def __post_init__(self) -> None:
        """Refuse settings that are not above zero."""
        positive(mu=self.mu, sigma=self.sigma, k=self.k or 1)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over all pairs of all rows; 0 where no candidate is above another."""
        found = scores_by_student(student, batch, self.student, self.similarity)
        grades = batch.scores or [(1.0, *(0.0,) * (len(texts) - 1)) for texts in batch.candidates]
        losses = [self.of_row(row, row.new_tensor(labels)) for row, labels in zip(found, grades, strict=True)]
        every = torch.cat(losses)
        return every.sum() / max(len(every), 1)

    def of_row(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The losses of the pairs of one query: float [candidates] scores and grades to [pairs]."""
        ranked, order = scores.sort(descending=True, stable=True)
        grades = labels[order].clamp(min=0)
        ranks = torch.arange(1, len(scores) + 1, device=scores.device)
        discounts = torch.log2(1.0 + ranks)
        cut = min(self.k or len(scores), len(scores))
        ideal = ((2 ** grades.sort(descending=True).values - 1) / discounts)[:cut].sum().clamp(min=1e-10)
        gains = (2**grades - 1) / ideal
        counted = (labels[order][:, None] > labels[order][None, :]) & (
            (ranks[:, None] <= cut) | (ranks[None, :] <= cut)
        )
        weights = self._weights(gains, discounts.to(scores.dtype))
        losses = -weights * logsigmoid(self.sigma * (ranked[:, None] - ranked[None, :])) / log(2)
        return losses[counted]

    def _weights(self, gains: Tensor, discounts: Tensor) -> Tensor:
        change = (gains[:, None] - gains[None, :]).abs()
        return change * sum(factor * part for factor, part in self._parts(discounts))

    def _parts(self, discounts: Tensor) -> list[tuple[float, Tensor]]:
        """The factors of a swap's cost, [candidates, candidates] each, with their weights."""
        actual = (1 / discounts[:, None] - 1 / discounts[None, :]).abs()
        places = torch.arange(len(discounts), device=discounts.device)
        apart = (places[:, None] - places[None, :]).abs().to(discounts.dtype)
        bound = (1 / torch.log2(1 + apart.clamp(min=1)) - 1 / torch.log2(2 + apart.clamp(min=1))).abs()
        parts = {"lambdarank": [(1.0, actual)], "ndcg2": [(1.0, bound)], "ndcg2++": [(1.0, actual), (self.mu, bound)]}
        return parts[self.weights]
