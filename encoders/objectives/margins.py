"""The positive's lead over a negative: at least a margin, or what a teacher gives it."""

from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, relu

from retr.encoders.objectives.checks import negatives_of, positive, scores_of
from retr.encoders.objectives.scores import Scored, scores_by_student
from retr.encoders.objectives.similarity import Similarity, row_by_row
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch


@dataclass(frozen=True, slots=True)
class Triplet:
    """max(0, d(query, positive) - d(query, negative) + margin), the mean over negatives (Schroff et al. 2015, eq. 3).

    `euclidean` is the distance of the vectors as they are, `cosine` is 1 - cosine.
    """

    margin: float = 0.3
    distance: Literal["cosine", "euclidean"] = "cosine"

    def __post_init__(self) -> None:
        """Refuse a margin that is not above zero."""
        positive(margin=self.margin)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over all negatives of all rows."""
        negatives = negatives_of(batch, "triplet")
        rows = [row for row, texts in enumerate(negatives) for _ in texts]
        queries = student.encode_queries(batch.queries)[rows]
        documents = student.encode_documents([*batch.positives, *chain.from_iterable(negatives)])
        near = self._distance(queries, documents[: len(batch)][rows])
        far = self._distance(queries, documents[len(batch) :])
        return relu(near - far + self.margin).mean()

    def _distance(self, left: Tensor, right: Tensor) -> Tensor:
        if self.distance == "cosine":
            return 1 - row_by_row(left, right, "cosine")
        return torch.nn.functional.pairwise_distance(left, right)


@dataclass(frozen=True, slots=True)
class MarginMSE:
    """The squared error of (positive - negative) against the teacher's same margin (Hofstätter et al. 2020, eq. 2).

    A bi-encoder is scored by `similarity` (the paper's is the dot product), any other student by its own scores.
    """

    student: Scored = "auto"
    similarity: Similarity = "dot"

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over all negatives of all rows."""
        negatives_of(batch, "margin-mse")
        wanted = scores_of(batch, "margin-mse")
        scores = scores_by_student(student, batch, self.student, self.similarity)
        margins = torch.cat([row[0] - row[1:] for row in scores])
        teacher = [row[0] - score for row in wanted for score in row[1:]]
        return mse_loss(margins, margins.new_tensor(teacher))
