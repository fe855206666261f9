"""GradCache: batches larger than memory, a chunk's activations at a time, with the gradient of the whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from retr.encoders.objectives import Objective
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class GradCache:
    """Only the vectors of a chunk are kept; going backward it is encoded again (Gao et al. 2021, section 3).

    The paper computes the gradient of the vectors first and multiplies it into each chunk's second pass. Here torch's
    checkpointing does the same within one graph: the chunk's inner tensors are made again, with the random numbers of
    the first pass, and are gone before the next chunk. So gradients are accumulated once, as distributed training
    wants. Activations need memory for `chunk` texts; the loss still sees every vector at once.
    """

    chunk: int = 32

    def __post_init__(self) -> None:
        """Refuse an empty chunk."""
        if self.chunk < 1:
            raise BadInput(f"chunk is {self.chunk}; give a whole number of at least 1.")

    def around(self, objective: Objective) -> Objective:
        """The objective with a student that encodes by chunks."""
        return _ByChunks(self.chunk, objective)


@dataclass(frozen=True, slots=True)
class _ByChunks:
    chunk: int
    inner: Objective

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        return self.inner(_Chunked(student, self.chunk), batch)


@dataclass(frozen=True, slots=True)
class _Chunked:
    """A student whose every call goes through the module a chunk at a time."""

    student: Student
    chunk: int

    @property
    def module(self) -> torch.nn.Module:
        return self.student.module

    @property
    def device(self) -> torch.device:
        return self.student.device

    def encode_queries(self, texts: Sequence[str]) -> Tensor:
        return self._encode(self.student.encode_queries, texts)

    def encode_documents(self, texts: Sequence[str]) -> Tensor:
        return self._encode(self.student.encode_documents, texts)

    def _encode(self, encode: Callable[[Sequence[str]], Tensor], texts: Sequence[str]) -> Tensor:
        parts = [texts[start : start + self.chunk] for start in range(0, len(texts), self.chunk)]
        return torch.cat([_kept(encode, part) for part in parts or [texts]])

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Tensor]:
        """By chunks of queries: a query's candidates stay together, for their scores may depend on each other."""
        found: list[Tensor] = []
        for start in range(0, len(queries), self.chunk):
            found += _kept(
                self.student.score, queries[start : start + self.chunk], candidates[start : start + self.chunk]
            )
        return found

    def log_probs(self, queries: Sequence[str], documents: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Of a student that generates, row by row: the rows of a chunk."""
        student: Any = self.student
        parts = [
            _kept(student.log_probs, queries[start : start + self.chunk], documents[start : start + self.chunk])
            for start in range(0, len(queries), self.chunk)
        ]
        return torch.cat([sums for sums, _ in parts]), torch.cat([counts for _, counts in parts])

    def reference_log_probs(self, queries: Sequence[str], documents: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Of a student that generates; there are no gradients, and so nothing to chunk."""
        student: Any = self.student
        found: tuple[Tensor, Tensor] = student.reference_log_probs(queries, documents)
        return found

    def save(self, folder: Path) -> None:
        self.student.save(folder)


def itself(student: Student) -> Student:
    """The student behind the chunks, for what it can do beside encoding."""
    return student.student if isinstance(student, _Chunked) else student


def _kept(make: Callable[..., Any], *texts: object) -> Any:
    return checkpoint(make, *texts, use_reentrant=False)
