"""What training asks of a model: texts to tensors with gradients, and a folder in the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Protocol, runtime_checkable

import torch

from retr.encoders.reading.tokenizing import check_list
from retr.retrieval.errors import BadInput


@runtime_checkable
class Student(Protocol):
    """A model that learns. One that gives scores alone refuses to encode; see `ScoresOnly`."""

    @property
    def module(self) -> torch.nn.Module:
        """All that is trained: its parameters go to the optimiser, its mode (train or eval) is the student's."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """Float [texts, dim], with gradients where the caller lets torch record them."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        """Float [texts, dim], with gradients where the caller lets torch record them."""
        ...

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query one float tensor [its candidates], in order; higher is better. Their numbers may differ."""
        ...

    def save(self, folder: Path) -> None:
        """Write a folder that `load_encoder` or `load_scorer` opens."""
        ...


def check_groups(queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> None:
    """BadInput unless there is one list of texts for each query."""
    for texts in (queries, *candidates):
        check_list(texts)
    if len(queries) != len(candidates):
        raise BadInput(
            f"There are {len(queries)} queries and {len(candidates)} lists of candidates; give one for each."
        )


class ScoresOnly:
    """The half of a student that reads query and candidates together, and so has no vector of a text."""

    def encode_queries(self, texts: Sequence[str]) -> NoReturn:
        """Always BadInput."""
        raise BadInput(
            f"{type(self).__name__} gives scores of {len(texts)} texts with a query, no vectors. Use an objective that "
            "scores candidates, or a bi-encoder."
        )

    encode_documents = encode_queries
