"""The softmax over candidates with a second task beside it: to say the words that were hidden from the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from retr.encoders.objectives.checks import positive
from retr.encoders.objectives.in_batch import with_others
from retr.encoders.objectives.scores import scored
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@runtime_checkable
class HidesWords(Protocol):
    """A student that can say hidden words of the texts it scores; see `UniStudent`."""

    def learn_words(self) -> None:
        """Make the head that says them."""
        ...

    def score_hiding(
        self, queries: Sequence[str], candidates: Sequence[Sequence[str]], share: float
    ) -> tuple[list[Tensor], Tensor]:
        """Scores of texts of which some tokens are hidden, and the loss of saying what they were."""
        ...


@dataclass(frozen=True, slots=True)
class ListwiseMLM:
    """-log of the positive's softmax, plus `weight` times masked language modelling (Song et al. 2023, section 3.3).

    `share` of the tokens of context and candidates are hidden, as in BERT's training (Devlin et al. 2019), and the
    scores are of what is left, as in the paper's code. A student in its mode eval reads whole texts and is given the
    scores' loss alone. With `in_batch` the other rows' positives are candidates too.
    """

    temperature: float = 1.0
    in_batch: bool = True
    weight: float = 1.0
    share: float = 0.15

    def __post_init__(self) -> None:
        """Refuse a temperature or a weight that is not above zero, and a share that is none."""
        positive(temperature=self.temperature, weight=self.weight)
        if not 0 < self.share < 1:
            raise BadInput(f"share is {self.share}; give a number above 0 and below 1.")

    def prepare(self, student: Student) -> None:
        """Give the student the head that says words; BadInput for one that cannot have it."""
        _hiding(student).learn_words()

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over rows, plus the weighted mean over hidden tokens."""
        batch = with_others(batch) if self.in_batch else batch
        if not student.module.training:
            return self._ranking(scored(student, batch))
        scores, words = _hiding(student).score_hiding(batch.queries, batch.candidates, self.share)
        return self._ranking(scores) + self.weight * words

    def _ranking(self, scores: Sequence[Tensor]) -> Tensor:
        wide = [row.to(torch.promote_types(row.dtype, torch.float32)) / self.temperature for row in scores]
        return torch.stack([-log_softmax(row, dim=0)[0] for row in wide]).mean()


def _hiding(student: Student) -> HidesWords:
    if not isinstance(student, HidesWords):
        raise BadInput(
            f"listwise-mlm trains a Uni-Encoder, with no table around the objective, and this is a "
            f"{type(student).__name__}. Use listwise."
        )
    return student
