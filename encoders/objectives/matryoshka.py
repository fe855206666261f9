"""Matryoshka: the same loss at several leading lengths of the vectors, which are computed once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from retr.encoders.objectives import Objective
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class Matryoshka:
    """The sum over `dims` of weight times loss of the first d numbers (Kusupati et al. 2022, eq. 1).

    `weights` are 1 each where none are given. Losses of cosines see the shortened vectors at unit length.
    """

    dims: tuple[int, ...]
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse no dims, dims below 1, and weights of another number."""
        if not self.dims or min(self.dims) < 1:
            raise BadInput(f"dims is {list(self.dims)}; give at least one, each 1 or more.")
        if self.weights and len(self.weights) != len(self.dims):
            raise BadInput(
                f"There are {len(self.dims)} dims and {len(self.weights)} weights. Give one weight each, or none."
            )

    def around(self, objective: Objective) -> Objective:
        """The objective at every length."""
        return _AtEveryLength(self, objective)


@dataclass(frozen=True, slots=True)
class _AtEveryLength:
    settings: Matryoshka
    inner: Objective

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        recorded = _Recorded(student)
        losses = []
        for at, dim in enumerate(self.settings.dims):
            weight = self.settings.weights[at] if self.settings.weights else 1.0
            recorded.rewind(dim)
            losses.append(weight * self.inner(recorded, batch))
        return torch.stack(losses).sum()


class _Recorded:
    """A student that encodes in the first pass and says the same vectors again, shortened, in the next ones.

    They are told apart by the order of the calls and not by their texts, for dropout makes equal texts differ.
    """

    def __init__(self, student: Student) -> None:
        self._student = student
        self._said: list[Tensor] = []
        self._at = self._dim = 0

    @property
    def module(self) -> torch.nn.Module:
        return self._student.module

    @property
    def device(self) -> torch.device:
        return self._student.device

    def rewind(self, dim: int) -> None:
        """The next pass, at `dim` numbers."""
        self._at, self._dim = 0, dim

    def encode_queries(self, texts: Sequence[str]) -> Tensor:
        if self._at == len(self._said):
            self._said.append(self._student.encode_queries(texts))
        return self._next()

    def encode_documents(self, texts: Sequence[str]) -> Tensor:
        if self._at == len(self._said):
            self._said.append(self._student.encode_documents(texts))
        return self._next()

    def _next(self) -> Tensor:
        whole = self._said[self._at]
        self._at += 1
        if self._dim > whole.shape[1]:
            raise BadInput(
                f"matryoshka: {self._dim} is more than the model's dim, {whole.shape[1]}. Take it out of dims."
            )
        return whole[:, : self._dim]

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Tensor]:
        raise BadInput(
            "matryoshka shortens vectors, and this objective asks for scores. Use one of vectors, or leave it out."
        )

    def save(self, folder: Path) -> None:
        self._student.save(folder)
