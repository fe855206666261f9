"""Batches with a teacher's labels in them, found by id: any objective of scores or grades learns from a teacher so."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from retr.distill.labelling.asking import ids_of, sides_of
from retr.distill.labelling.keys import Side, text_id
from retr.distill.labelling.store import Labels
from retr.encoders.objectives import Objective
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput, Mismatch

if TYPE_CHECKING:
    from torch import Tensor

    from retr.encoders.trainable.student import Student


@dataclass(frozen=True, slots=True)
class Taught:
    """An objective whose batches hold a teacher's labels in the place of the data's own.

    `scores` gives one for each candidate, as margin-mse and listwise take them; `label` one for each pair of query and
    positive, as bce and cosine-mse do; each is multiplied by `factor`. NotFound, in the step in which it is met, for a
    pair without a label.
    """

    objective: Objective
    labels: Labels
    into: Literal["scores", "label"] = "scores"
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.labels.facts.what != "scores" or self.labels.width != 1:
            raise Mismatch(f"One score a pair is needed; there are {self.labels!r} of {self.labels.width} numbers.")

    def __call__(self, student: "Student", batch: Batch) -> "Tensor":
        """The objective's loss of the batch with labels."""
        return self.objective(student, self.labelled(batch))

    def labelled(self, batch: Batch) -> Batch:
        """The batch with the teacher's labels."""
        ids = ids_of(batch, self.labels.facts)
        if self.into == "label":
            return replace(batch, labels=tuple(self._values([row[0] for row in ids])))
        values = iter(self._values([id for row in ids for id in row]))
        return replace(batch, scores=tuple(tuple(next(values) for _ in row) for row in ids))

    def _values(self, ids: Sequence[str]) -> list[float]:
        return [self.factor * value for value in self.labels.values(ids)[:, 0].tolist()]


@dataclass(frozen=True, slots=True)
class EmbeddingMSE:
    """|student's vector - teacher's vector|^2, the mean over the batch's different texts (Reimers & Gurevych 2020).

    Queries are held against the teacher's queries and documents against its documents (arXiv 2004.09813, eq. 1, whose
    mean is over the numbers of a vector too). The student needs vectors of the teacher's size: a projection gives them.
    """

    labels: Labels

    def __post_init__(self) -> None:
        if self.labels.facts.what != "vectors":
            raise Mismatch(f"Vectors of texts are needed; there are {self.labels!r}. Label with an encoder.")

    def __call__(self, student: "Student", batch: Batch) -> "Tensor":
        """The mean over all texts of both sides."""
        import torch

        encoded = {"queries": student.encode_queries, "documents": student.encode_documents}
        sides: Sequence[tuple[Side, list[str]]] = sides_of(batch)
        errors = []
        for side, texts in sides:
            found = encoded[side](texts)
            if found.shape[1] != self.labels.width:
                raise BadInput(
                    f"The student's vectors have {found.shape[1]} numbers and the teacher's {self.labels.width}. Set "
                    f"projection = {self.labels.width} in [student]."
                )
            wanted = torch.from_numpy(self.labels.values([text_id(text, side) for text in texts]))
            errors.append((found - wanted.to(found.device, found.dtype)).square().sum(1))
        return torch.cat(errors).mean()
