"""Students that also generate: what objectives ask of them beside vectors, through GradCache too."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from retr.encoders.objectives.grad_cache import itself
from retr.encoders.trainable.student import Student
from retr.retrieval.errors import BadInput


@runtime_checkable
class Generating(Protocol):
    """A student that tells how likely a document is after a query."""

    def log_probs(self, queries: Sequence[str], documents: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Row by row log P(document | query), float32 [rows], with gradients, and of how many tokens, [rows]."""
        ...

    def reference_log_probs(self, queries: Sequence[str], documents: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The same by the model as it was before training, without gradients."""
        ...


@runtime_checkable
class Projecting(Protocol):
    """A student with layers that are for contrastive training alone."""

    def projected(self, vectors: Tensor) -> Tensor:
        """[texts, dim] behind those layers."""
        ...


def generating(student: Student, name: str) -> Generating:
    """The student, or BadInput where it does not generate."""
    if not isinstance(itself(student), Generating) or not isinstance(student, Generating):
        raise BadInput(
            f"The objective {name} asks how likely a document is after a query, which {type(itself(student)).__name__} "
            "cannot tell. Train the kind llm, with generates = true."
        )
    return student


def project(student: Student, vectors: Tensor) -> Tensor:
    """The vectors behind the student's training layers, where it has some."""
    own = itself(student)
    return own.projected(vectors) if isinstance(own, Projecting) else vectors
