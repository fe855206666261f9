"""A teacher's scores to be met as numbers, alone or mixed with the task's own labels."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from retr.encoders.objectives.checks import labels_of, scores_of
from retr.encoders.objectives.scores import Scored, scores_by_student
from retr.encoders.objectives.similarity import Similarity
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class LogitMSE:
    """(student's score - teacher's score)^2, the mean over candidates (Ba & Caruana 2014, arXiv 1312.6184, eq. 1).

    The teacher's scores are raw: what a cross-encoder gives before any sigmoid.
    """

    student: Scored = "auto"
    similarity: Similarity = "dot"

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over all candidates of all rows."""
        found = torch.cat(scores_by_student(student, batch, self.student, self.similarity))
        return mse_loss(found, found.new_tensor([score for row in scores_of(batch, "logit-mse") for score in row]))


@dataclass(frozen=True, slots=True)
class MixedMSE:
    """(1 - weight) * BCE with the label + weight * (logit - teacher's logit)^2, the mean over pairs.

    Query and positive are the pair; its label is a share in [0, 1], its teacher's logit the one score of the row
    (Barkan et al. 2020, Distilled Sentence Embedding, arXiv 1908.05161). 0 is training without a teacher, 1 without
    labels.
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a weight that is no share."""
        if not 0 <= self.weight <= 1:
            raise BadInput(f"weight is {self.weight}; give a number from 0, labels alone, to 1, the teacher alone.")

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over rows. What has no weight is not asked for."""
        found = torch.cat(student.score(batch.queries, [[text] for text in batch.positives]))
        loss = found.new_zeros(())
        if self.weight < 1:
            wanted = found.new_tensor(labels_of(batch, "mixed-mse", 0, 1))
            loss = loss + (1 - self.weight) * binary_cross_entropy_with_logits(found, wanted)
        if self.weight > 0:
            goal = found.new_tensor([row[0] for row in scores_of(batch, "mixed-mse")])
            loss = loss + self.weight * mse_loss(found, goal)
        return loss
