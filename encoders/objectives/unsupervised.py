"""Texts alone: each is its own positive, made different by dropout (SimCSE) and by a masked span (Mirror-BERT)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from retr.encoders.objectives.checks import positive
from retr.encoders.objectives.contrastive import InfoNCE
from retr.encoders.objectives.similarity import Similarity
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class SimCSE:
    """InfoNCE of a text with itself under another dropout mask (Gao et al. 2021, eq. 4); reads the queries alone.

    Both passes are those of documents. A text that stands twice in the batch is no negative of itself.
    """

    temperature: float = 0.05
    similarity: Similarity = "cosine"

    def __post_init__(self) -> None:
        """Refuse a temperature that is not above zero."""
        positive(temperature=self.temperature)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over rows."""
        first = student.encode_documents(batch.queries)
        second = student.encode_documents(batch.queries)
        alone = Batch(queries=batch.queries, positives=batch.queries)
        return InfoNCE(temperature=self.temperature, similarity=self.similarity).of_vectors(first, second, alone)


@dataclass(frozen=True, slots=True)
class MirrorBERT:
    """InfoNCE of a text with itself under dropout and one span of letters masked (Liu et al. 2021, eq. 1, section 2).

    One of the two copies has `span` letters, at a place drawn evenly, replaced by `mask`, the tokenizer's own mask
    token; a text that is not longer than that is left alone. The draw is torch's, so the run's seed decides it.
    """

    temperature: float = 0.04
    similarity: Similarity = "cosine"
    span: int = 5
    mask: str = "[MASK]"

    def __post_init__(self) -> None:
        """Refuse a temperature that is not above zero, and an empty span."""
        positive(temperature=self.temperature)
        if self.span < 1:
            raise BadInput(f"span is {self.span}; give a number of letters of at least 1.")

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over rows, both ways: each copy finds the other."""
        first = student.encode_documents(batch.queries)
        second = student.encode_documents([self.masked(text) for text in batch.queries])
        alone = Batch(queries=batch.queries, positives=batch.queries)
        loss = InfoNCE(temperature=self.temperature, similarity=self.similarity, directions="both")
        return loss.of_vectors(first, second, alone)

    def masked(self, text: str) -> str:
        """The text with one span masked."""
        if len(text) <= self.span:
            return text
        start = int(torch.randint(len(text) - self.span + 1, ()))
        return f"{text[:start]}{self.mask}{text[start + self.span :]}"
