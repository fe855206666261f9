"""What training asks of a model: texts to tensors with gradients, and a folder in the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class Student(Protocol):
    """A model that learns. Which of the two abilities below it has, `EmbeddingStudent` and `ScoringStudent` tell."""

    @property
    def module(self) -> torch.nn.Module:
        """All that is trained: its parameters go to the optimiser, its mode (train or eval) is the student's."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        ...

    def save(self, folder: Path) -> None:
        """Write a folder that `load_encoder` or `load_scorer` opens."""
        ...


@runtime_checkable
class EmbeddingStudent(Student, Protocol):
    """A student with one vector a text: a bi-encoder."""

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """Float [texts, dim], with gradients when the caller allows them."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        """Float [texts, dim], with gradients when the caller allows them."""
        ...


@runtime_checkable
class ScoringStudent(Student, Protocol):
    """A student with one score a candidate, higher is better: cross, uni and poly."""

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query one float tensor [its candidates], in order; queries may have different numbers of them."""
        ...
