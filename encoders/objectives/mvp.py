"""MVP's loss: a list in its teacher's order, and views that look at different things (arXiv 2509.07485)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, normalize, softmax

from retr.encoders.objectives.checks import positive
from retr.encoders.trainable.mvp import MVPStudent
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput

Loss = Literal["listnet", "listnet_double"]


@dataclass(frozen=True, slots=True)
class MVPLoss:
    """-sum_i t_i log p_i, and `orthogonal` times ||A A^T - I||^2 of the anchors A at unit length (arXiv 2509.07485).

    The first part is ListNet (Cao et al. 2007) over ranks:
    t = softmax((1 / rank) / temperature), the ranks being those of the data's `scores`, or without them first for the
    positive and second for all negatives; p = softmax(score / temperature). With `positive_first` the positive is
    ranked above all, whatever the teacher says. `listnet_double` takes the softmax of p once more before the logarithm,
    as the code behind the published checkpoints does: at its best the first two have nearly all of p, below them no
    order is learned, and where scores are apart its gradient is near nothing.
    """

    loss: Loss = "listnet"
    temperature: float = 0.8
    orthogonal: float = 1.0
    positive_first: bool = True

    def __post_init__(self) -> None:
        """Refuse an unknown loss, a temperature that is not above zero, and a weight below zero."""
        if self.loss not in get_args(Loss):
            raise BadInput(f"loss is {' or '.join(get_args(Loss))}; got {self.loss!r}.")
        positive(temperature=self.temperature)
        if not (isfinite(self.orthogonal) and self.orthogonal >= 0):
            raise BadInput(f"orthogonal is {self.orthogonal}; give a number of at least 0.")

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over rows."""
        if not isinstance(student, MVPStudent):
            raise BadInput("The objective mvp needs a student of the kind mvp. For another kind use listwise.")
        judged = student.judge(batch.queries, batch.candidates)
        told = batch.scores or [(1.0, *(0.0,) * (len(texts) - 1)) for texts in batch.candidates]
        losses = [self.of_list(scores, teacher) for scores, teacher in zip(judged.scores, told, strict=True)]
        return torch.stack(losses).mean() + self.orthogonal * alikeness(judged.anchors).mean()

    def of_list(self, scores: Tensor, teacher: Sequence[float]) -> Tensor:
        """The list's part for one query: float [candidates] and the teacher's scores, the positive's first."""
        ranks = scores.new_tensor(self.ranks(teacher))
        target = softmax(1.0 / ranks / self.temperature, dim=0)
        given = scores / self.temperature
        if self.loss == "listnet_double":
            given = softmax(given, dim=0)
        return -(target * log_softmax(given, dim=0)).sum()

    def ranks(self, teacher: Sequence[float]) -> list[int]:
        """From 1; equal scores share the better rank."""
        above = list(teacher)
        if self.positive_first:
            above[0] = max(teacher) + 1
        return [1 + sum(other > score for other in above) for score in above]


def alikeness(anchors: Tensor) -> Tensor:
    """[lists] of float [lists, views, dim]: 0 where views are orthogonal, views * (views - 1) where all are alike."""
    with torch.autocast(anchors.device.type, enabled=False):
        units = normalize(anchors.float(), dim=-1)
        apart = units @ units.transpose(1, 2) - torch.eye(units.shape[1], device=units.device)
    return apart.square().sum((1, 2))
