"""A vector learned as what tells a document's query: stage 1 of LLM-QL (Zhang et al. 2025, arXiv 2504.05216)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput

HIDDEN = "_"
"""What stands for a word that corruption took."""


@runtime_checkable
class Asking(Protocol):
    """A student that tells how likely a query is after a document."""

    def query_log_probs(
        self, queries: Sequence[str], documents: Sequence[str], document_weight: float
    ) -> tuple[Tensor, Tensor]:
        """Row by row, float32 [rows], log P(query and its end | document), and of how many tokens, by their weights."""
        ...


@dataclass(frozen=True, slots=True)
class QueryLikelihood:
    """-log P of the positive's query, the mean over the batch's tokens (LLM-QL: Zhang et al. 2025, arXiv 2504.05216).

    `corruption` is the share of the positive's words that are hidden, drawn anew each step; the prompt's words stay.
    `document_weight` is how much a token of the corrupted document and its prompt counts beside one of the query: 0, as
    the paper reads, or 1, as its code has it. What a query sees of the document, the student's settings say.
    """

    corruption: float = 0.6
    document_weight: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings out of their range."""
        if not 0 <= self.corruption <= 1:
            raise BadInput(f"corruption is {self.corruption}; give a share from 0 to 1.")
        if not 0 <= self.document_weight < float("inf"):
            raise BadInput(f"document_weight is {self.document_weight}; give a number of at least 0.")

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over tokens, by their weights."""
        if not isinstance(student, Asking):
            raise BadInput(
                f"The objective query-likelihood asks how likely a query is, which {type(student).__name__} cannot "
                'tell. Train the kind llm, with query_likelihood = "stop" in [student] and no grad-cache.'
            )
        documents = [corrupted(text, self.corruption) for text in batch.positives]
        sums, counts = student.query_log_probs(batch.queries, documents, self.document_weight)
        return -sums.sum() / counts.sum()


def corrupted(text: str, share: float) -> str:
    """The text with each word, by that chance, replaced by one sign. The draw is torch's: the run's seed decides it."""
    return re.sub(r"\S+", lambda word: HIDDEN if float(torch.rand(())) < share else word[0], text)
