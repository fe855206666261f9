"""Pairs with a grade: CoSENT, AnglE and the squared error of the cosine."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from retr.encoders.objectives.checks import labels_of, positive
from retr.encoders.objectives.similarity import row_by_row
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class CoSENT:
    """log(1 + sum of exp(scale * (cos_j - cos_i)) over all pairs graded label_i > label_j) (Su 2022, CoSENT)."""

    scale: float = 20.0

    def __post_init__(self) -> None:
        """Refuse a scale that is not above zero."""
        positive(scale=self.scale)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The loss of the whole batch: pairs are compared with each other."""
        left, right, labels = _graded(student, batch, "cosent")
        return order_loss(row_by_row(left, right, "cosine"), labels, self.scale)


@dataclass(frozen=True, slots=True)
class AnglE:
    """CoSENT's order of the angle of complex vectors, which stays steep where the cosine is flat (Li & Li 2024, eq. 7).

    A vector's first half is its real part, its second half the imaginary one. The paper adds this to CoSENT and an
    in-batch loss; here it stands alone.
    """

    scale: float = 20.0

    def __post_init__(self) -> None:
        """Refuse a scale that is not above zero."""
        positive(scale=self.scale)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The loss of the whole batch: pairs are compared with each other."""
        left, right, labels = _graded(student, batch, "angle")
        return order_loss(angle(left, right), labels, self.scale)


@dataclass(frozen=True, slots=True)
class CosineMSE:
    """The mean of (cosine - label) squared (Reimers & Gurevych 2019, section 3, regression objective)."""

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over rows."""
        labels_of(batch, "cosine-mse", -1, 1)
        left, right, labels = _graded(student, batch, "cosine-mse")
        return mse_loss(row_by_row(left, right, "cosine"), labels)


def order_loss(similarities: Tensor, labels: Tensor, scale: float) -> Tensor:
    """CoSENT of float [pairs] similarities and labels; 0 where no label is above another."""
    differences = scale * (similarities[None, :] - similarities[:, None])  # [i, j]: of j above that of i.
    ordered = labels[:, None] > labels[None, :]
    zero = differences.new_zeros(1)
    return torch.logsumexp(torch.cat([zero, differences[ordered]]), dim=0)


def angle(left: Tensor, right: Tensor) -> Tensor:
    """[rows]: |sum of the real and imaginary parts of left / right|, over the ratio of lengths (eq. 5 and 6)."""
    if left.shape[1] % 2:
        raise BadInput(f"The objective angle pairs the halves of a vector, and dim {left.shape[1]} is odd. Use cosent.")
    real, imaginary = normalize(left).chunk(2, dim=1)
    other_real, other_imaginary = normalize(right).chunk(2, dim=1)
    along = real * other_real + imaginary * other_imaginary
    across = imaginary * other_real - real * other_imaginary
    return (along + across).sum(dim=1).abs()


def _graded(student: Student, batch: Batch, name: str) -> tuple[Tensor, Tensor, Tensor]:
    grades = labels_of(batch, name)
    left = student.encode_queries(batch.queries)
    right = student.encode_documents(batch.positives)
    return left, right, torch.tensor(grades, dtype=left.dtype, device=left.device)
