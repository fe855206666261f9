"""The loss of pairs: the task's own, a teacher's logits, or both (Barkan et al. 2020, arXiv 1908.05161)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch

from retr.distill.dse.tasks import Task
from retr.distill.labelling.asking import ids_of
from retr.distill.labelling.store import Labels
from retr.encoders.objectives.checks import labels_of
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput, Mismatch


class PairStudent(Student, Protocol):
    """A student that says several numbers of a pair."""

    def logits(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """Float [pairs, outputs]."""
        ...


@dataclass(frozen=True, slots=True)
class PairLoss:
    """(1 - weight) * task + weight * mean over pairs of the sum over outputs of (student - teacher)^2.

    With weight 0 no teacher is needed, with weight 1 no label.
    """

    task: Task
    weight: float = 0.0
    labels: Labels | None = None

    def __post_init__(self) -> None:
        """Refuse a weight that is no share, or one without labels of the task's size."""
        if not 0 <= self.weight <= 1:
            raise BadInput(f"weight is {self.weight}; give a number from 0, labels alone, to 1, the teacher alone.")
        if self.weight and self.labels is None:
            raise BadInput("A weight above 0 needs a teacher's labels. Give them, or set weight to 0.")
        if self.labels is not None and self.labels.width != self.task.outputs:
            raise Mismatch(f"The teacher's labels have {self.labels.width} numbers, the task {self.task.outputs}.")

    def __call__(self, student: Student, batch: Batch) -> torch.Tensor:
        """The loss of the batch's pairs of query and positive, at least in float32 under mixed precision too."""
        logits = cast(PairStudent, student).logits(list(zip(batch.queries, batch.positives, strict=True)))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = logits.new_zeros(())
        if self.weight < 1:
            loss = loss + (1 - self.weight) * self.task.loss(logits, labels_of(batch, "dse"))
        if self.weight > 0:
            assert self.labels is not None
            ids = [row[0] for row in ids_of(batch, self.labels.facts)]
            wanted = torch.from_numpy(self.labels.values(ids)).to(logits.device, logits.dtype)
            loss = loss + self.weight * (logits - wanted).square().sum(1).mean()
        return loss
