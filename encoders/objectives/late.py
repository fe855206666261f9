"""InfoNCE over scores of tokens: the positive against hard negatives and the other rows' texts, token by token."""

from dataclasses import dataclass
from itertools import chain

from torch import Tensor

from retr.encoders.objectives.checks import positive
from retr.encoders.objectives.contrastive import InfoNCE
from retr.encoders.trainable.late import LateStudent
from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class LateInfoNCE:
    """-log of the positive's share of exp(score / temperature) over candidates (Khattab & Zaharia 2020, section 3.3).

    Candidates, and which of them are left out, are those of `InfoNCE`, of this process alone. The score is the model's:
    MaxSim, a sum over a query's tokens, for which 1 is a temperature to begin with; for MaxSim's mean, transport and
    X-Pool 0.05 is. At most `numbers` similarities
    of tokens are in memory at once; the others are computed again going backward.
    """

    temperature: float = 1.0
    in_batch: bool = True
    false_negative_margin: float | None = None
    mask_same: bool = True
    numbers: int = NUMBERS_A_CHUNK

    def __post_init__(self) -> None:
        """Refuse a temperature or a chunk that is not above zero."""
        positive(temperature=self.temperature, numbers=self.numbers)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over this process's rows."""
        if not isinstance(student, LateStudent):
            raise BadInput("late-infonce needs a student of the kind late, and no grad-cache around it. Use infonce.")
        negatives = list(chain.from_iterable(batch.negatives))
        if not self.in_batch and not negatives:
            raise BadInput("late-infonce with in_batch = false needs negatives, and the data has none.")
        documents = student.read([*batch.positives, *negatives], "document")
        asked = student.read(batch.queries, "query")
        found = student.every_score(asked, documents, self.numbers)
        inner = InfoNCE(
            temperature=self.temperature,
            in_batch=self.in_batch,
            false_negative_margin=self.false_negative_margin,
            mask_same=self.mask_same,
            gather=False,
        )
        return inner.of_similarities(found, batch)
