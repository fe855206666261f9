"""Scores of a query's candidates against their labels or a teacher's: each by itself, or as one distribution."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from retr.encoders.objectives.checks import labels_of, positive, scores_of
from retr.encoders.objectives.in_batch import with_others
from retr.encoders.objectives.scores import Scored, scored, scores_by_student
from retr.encoders.objectives.similarity import Similarity
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy:
    """-(y log p + (1 - y) log(1 - p)) with p = sigmoid(score) (Nogueira & Cho 2019, eq. 1, by the mean of candidates).

    y is the row's label for its positive (1 without labels) and 0 for its negatives. `positive_weight` multiplies the
    first part, as for many negatives to a positive. `scale` multiplies the scores first: a cosine is no logit, and
    SMITH takes 6 of it (Yang et al. 2020).
    """

    positive_weight: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a weight or a scale that is not above zero."""
        positive(positive_weight=self.positive_weight, scale=self.scale)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over all candidates of all rows."""
        scores = torch.cat(scored(student, batch)) * self.scale
        firsts = labels_of(batch, "bce", 0, 1) if batch.labels else (1.0,) * len(batch)
        rows = zip(firsts, batch.candidates, strict=True)
        wanted = [label for first, texts in rows for label in (first, *(0.0,) * (len(texts) - 1))]
        weight = scores.new_tensor(self.positive_weight)
        return binary_cross_entropy_with_logits(scores, scores.new_tensor(wanted), pos_weight=weight)


@dataclass(frozen=True, slots=True)
class ListwiseSoftmax:
    """KL(teacher || student) of the softmax over a query's candidates (Cao et al. 2007, ListNet, top one; Hinton 2015).

    Without a teacher's scores the positive has all the weight, which is the softmax cross-entropy. Both sides are
    divided by `temperature`; the loss is not multiplied by its square. With `in_batch` the other rows' positives are
    candidates too, less those of the same query (Song et al. 2023); a teacher has no scores of them.
    """

    student: Scored = "scores"
    similarity: Similarity = "cosine"
    temperature: float = 1.0
    teacher: bool = True
    """Whether the data's scores are the target; false takes the positive alone."""
    in_batch: bool = False

    def __post_init__(self) -> None:
        """Refuse a temperature that is not above zero, and a teacher of the other rows' candidates."""
        positive(temperature=self.temperature)
        if self.in_batch and self.teacher:
            raise BadInput("in_batch needs teacher = false: a teacher's scores are of a row's own candidates alone.")

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over rows."""
        batch = with_others(batch) if self.in_batch else batch
        found = scores_by_student(student, batch, self.student, self.similarity)
        if not self.teacher:
            return torch.stack([-log_softmax(row / self.temperature, dim=0)[0] for row in found]).mean()
        wanted = scores_of(batch, "listwise with a teacher")
        losses = [
            divergence(row.new_tensor(goal) / self.temperature, row / self.temperature)
            for goal, row in zip(wanted, found, strict=True)
        ]
        return torch.stack(losses).mean()


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL of the softmaxes of two float [candidates]."""
    target, given = log_softmax(teacher, dim=0), log_softmax(student, dim=0)
    return (target.exp() * (target - given)).sum()
