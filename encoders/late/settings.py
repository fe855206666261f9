"""What a late-interaction model is told of itself: how texts become tokens, which tokens count, what is merged."""

from dataclasses import dataclass
from typing import Literal

from retr.retrieval.errors import BadInput

Task = Literal["query", "document"]
"""What a text is read as, in sentence-transformers' words."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """Queries shorter than `length` tokens are filled up with `token`, [MASK] unless named, and these tokens count.

    With `attend` every token sees them; without, they see the query and none sees them (Khattab & Zaharia 2020).
    `fixed` cuts queries at `length`; `min` leaves longer ones as they are.
    """

    length: int
    strategy: Literal["fixed", "min"] = "fixed"
    attend: bool = False
    token: str | None = None

    def __post_init__(self) -> None:
        if self.strategy not in ("fixed", "min"):
            raise BadInput(f"strategy is fixed or min; got {self.strategy!r}.")
        if self.length < 4:
            raise BadInput(f"length is {self.length}; give at least 4 tokens, special ones being among them.")


@dataclass(frozen=True, slots=True)
class TokenPooling:
    """A text's token vectors are merged to about one in `factor`; the first `protected` stay as they are.

    Clusters by Ward's linkage of cosine distances, each its mean (Clavié et al. 2024, arXiv 2409.14683), at unit
    length with `normalise`.
    """

    factor: float = 2.0
    protected: int = 1
    normalise: bool = True
    tasks: tuple[Task, ...] = ("document",)

    def __post_init__(self) -> None:
        if not self.factor >= 1:
            raise BadInput(f"factor is {self.factor}; give at least 1, which merges nothing.")
        if self.protected < 0:
            raise BadInput(f"protected is {self.protected}; give 0 or more tokens.")


@dataclass(frozen=True, slots=True)
class LateTexts:
    """How texts are read. Lengths are in tokens, special ones included; 0 stands for `max_tokens`.

    `prefixes` are parts of the prompts that the tokenizer must take for one token each. `skipped` are words of the
    vocabulary whose vectors do not count in texts of `skip_tasks`.
    """

    max_tokens: int
    query_tokens: int = 0
    document_tokens: int = 0
    query_prompt: str = ""
    document_prompt: str = ""
    prefixes: tuple[str, ...] = ()
    expansion: Expansion | None = None
    skipped: tuple[str, ...] = ()
    skip_tasks: tuple[Task, ...] = ("document",)
    lowercase: bool = False

    def __post_init__(self) -> None:
        for name in ("query_tokens", "document_tokens"):
            if getattr(self, name) and getattr(self, name) < 4:
                raise BadInput(f"{name} is {getattr(self, name)}; give at least 4, special tokens being among them.")
        if self.expansion is not None and self.expansion.length > self.max_tokens:
            raise BadInput(
                f"Queries are filled up to {self.expansion.length} tokens; the model reads {self.max_tokens}. "
                "Give a shorter expansion."
            )

    def longest(self, task: Task) -> int:
        """Where texts are cut."""
        if task == "document":
            return min(self.document_tokens or self.max_tokens, self.max_tokens)
        most = min(self.query_tokens or self.max_tokens, self.max_tokens)
        if self.expansion is None:
            return most
        return self.expansion.length if self.expansion.strategy == "fixed" else max(most, self.expansion.length)

    def prompt(self, task: Task) -> str:
        """What stands in front of texts."""
        return self.query_prompt if task == "query" else self.document_prompt
