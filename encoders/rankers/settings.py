"""What a Uni- and a Poly-Encoder are told of themselves, in training and in serving alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from retr.retrieval.errors import BadInput
from retr.retrieval.settings import settings_from

Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True)
class UniSettings:
    """Who sees whom, and how long texts may be.

    `arrow` is the published mask: a candidate's score depends on the others of its call. With `one_way` it does not,
    and a context can be read once. A context loses its oldest lines, a candidate its end.
    """

    mask: Literal["arrow", "one_way"] = "one_way"
    positions: Literal["shared", "unique"] = "shared"
    context_tokens: int = 256
    candidate_tokens: int = 128

    def __post_init__(self) -> None:
        for name, known in (("mask", ("arrow", "one_way")), ("positions", ("shared", "unique"))):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} is {' or '.join(known)}; got {getattr(self, name)!r}.")
        for name in ("context_tokens", "candidate_tokens"):
            if getattr(self, name) < 4:
                raise BadInput(f"{name} is {getattr(self, name)}; give at least 4, special tokens being among them.")

    @property
    def comparable(self) -> bool:
        """Whether a candidate's score does not depend on the others of its call."""
        return self.mask == "one_way" and self.positions == "shared"

    def check_fits(self, positions: int, name: str) -> None:
        """BadInput where the longest context and candidate have more tokens than the model has positions."""
        if self.context_tokens + self.candidate_tokens > positions:
            raise BadInput(
                f"context_tokens {self.context_tokens} and candidate_tokens {self.candidate_tokens} are more than "
                f"the {positions} positions of {name}. Give fewer."
            )

    def check_row(self, tokens: int, positions: int, name: str) -> None:
        """BadInput where a query and its candidates have more tokens than unique positions allow."""
        if self.positions == "unique" and tokens > positions:
            raise BadInput(
                f"A query and its candidates have {tokens} tokens; with unique positions {name} reads {positions}. "
                "Give fewer candidates, or use shared positions."
            )


@dataclass(frozen=True, slots=True)
class PolySettings:
    """How a context becomes `codes` vectors: each a mean weighted by a learned code, or the first states themselves.

    `shared` is one encoder for both sides in place of two. A context loses its oldest lines, a candidate its end.
    """

    codes: int = 64
    context: Literal["learned", "first"] = "learned"
    candidate: Literal["mean", "cls"] = "mean"
    shared: bool = False
    context_tokens: int = 256
    candidate_tokens: int = 128

    def __post_init__(self) -> None:
        for name, known in (("context", ("learned", "first")), ("candidate", ("mean", "cls"))):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} is {' or '.join(known)}; got {getattr(self, name)!r}.")
        for name, least in (("codes", 1), ("context_tokens", 4), ("candidate_tokens", 4)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} is {getattr(self, name)}; give at least {least}.")

    def check_fits(self, positions: int, name: str) -> None:
        """BadInput where texts may have more tokens than the model reads."""
        for key in ("context_tokens", "candidate_tokens"):
            if getattr(self, key) > positions:
                raise BadInput(f"{key} is {getattr(self, key)}; {name} reads {positions} tokens. Give at most that.")


def told_settings(cls: type[Settings], table: Mapping[str, Any], folder: Path, kind: str) -> Settings:
    """The settings in the table that training wrote into the folder's retr.json."""
    given = {key: value for key, value in table.items() if key not in ("kind", "format")}
    return settings_from(cls, given, f"{folder / 'retr.json'}: {kind}")
