"""What a decoder's folder says of itself as an embedder: direction, pooling, prompts."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from retr.encoders.running.pooling import POOLINGS
from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.protocols import Similarity

Direction = Literal["causal", "bidirectional"]
"""Whether a token looks at the ones behind it, or at all of its text."""

LATENT, LATENT_LAYERS = "latent", "latent-layers"
LEARNED = (LATENT, LATENT_LAYERS)
"""Poolings that are learned: over the last layer's tokens, or over what every layer gives for the text."""


@dataclass(frozen=True, slots=True)
class LatentShape:
    """The size of learned pooling: `latents` queries of `heads` heads, each `head_dim` wide (0: dim / heads).

    Published, for 4096 numbers a token: 768 latents, 32 heads of 2048 (Tang & Yang 2024, arXiv 2409.02727).
    """

    latents: int = 64
    heads: int = 8
    head_dim: int = 0

    def __post_init__(self) -> None:
        for name, least in (("latents", 1), ("heads", 1), ("head_dim", 0)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number of at least {least}.")

    def inner(self, dim: int) -> int:
        """Numbers of all heads together, over states of `dim` numbers."""
        if not self.head_dim and dim % self.heads:
            raise BadInput(f"{self.heads} heads do not divide {dim} numbers a token. Give another heads, or head_dim.")
        return self.heads * (self.head_dim or dim // self.heads)


@dataclass(frozen=True, slots=True)
class LlmTable:
    """The table `llm` of retr.json. `window` is how far the model's own sliding layers look back; 0: no such layers.

    `pooling` is some of `running.pooling.POOLINGS` joined by +, or one of `LEARNED` alone.
    """

    attention: Direction = "causal"
    pooling: str = "lasttoken"
    normalised: bool = True
    similarity: Similarity = "cosine"
    query_prompt: str = ""
    document_prompt: str = ""
    include_prompt: bool = True
    max_tokens: int = 512
    window: int = 0
    latent: LatentShape | None = None
    kind: str = "llm"

    def __post_init__(self) -> None:
        check_pooling(self.pooling)
        check_choice("attention", self.attention, Direction)
        check_choice("similarity", self.similarity, Similarity)
        if self.max_tokens < 1 or self.window < 0:
            raise BadInput(f"max_tokens is {self.max_tokens} and window {self.window}; give at least 1 and 0.")
        if (self.pooling in LEARNED) != (self.latent is not None):
            raise BadInput(f"The pooling {self.pooling!r} and the table latent do not fit. Give both, or neither.")

    @property
    def bidirectional(self) -> bool:
        """Whether a token looks at all of its text."""
        return self.attention == "bidirectional"

    @property
    def modes(self) -> tuple[str, ...]:
        """The poolings side by side."""
        return tuple(self.pooling.split("+"))


def check_pooling(pooling: str) -> None:
    """NotFound for a pooling that is none; BadInput for a learned one beside others."""
    modes = pooling.split("+")
    for mode in modes:
        if mode not in (*POOLINGS, *LEARNED):
            raise unknown("pooling", mode, (*POOLINGS, *LEARNED))
    if len(modes) > 1 and set(modes) & set(LEARNED):
        raise BadInput(f"The pooling is {pooling!r}; {' and '.join(LEARNED)} stand alone, not beside others.")


def check_choice(name: str, value: object, choices: Any) -> None:
    """BadInput for what is none of a Literal's values."""
    if value not in get_args(choices):
        raise BadInput(f"{name} is {', '.join(get_args(choices))}; got {value!r}.")
