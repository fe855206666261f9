"""What the table `[student]` of the kind `llm` may say."""

from dataclasses import dataclass
from typing import Any, Literal

from retr.encoders.llm.settings import LEARNED, Direction, LatentShape, LlmTable, check_choice, check_pooling
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Similarity


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """What is to be other than the folder says: an empty text, 0 and None stand for what it says.

    `append_end`: each text ends in the tokenizer's end token. `generates`: with the layer of logits, for objectives
    that ask for the probability of a text; `generation_prompt` then stands before it, `{query}` and all.
    `query_likelihood`: objectives may ask how likely a query is after a document: `stop` lets it see the document's
    end token alone, the one whose state is the vector, `open` all of the document.
    `reference`: also hold the model as it was, where no low-rank updates can be switched off to get it. `head`:
    objectives may ask for vectors behind two layers that are only for training. `adapters`: keep those of the folder
    to learn on, instead of adding them into the weights.
    """

    attention: Direction | Literal[""] = ""
    pooling: str = ""
    latents: int = 64
    heads: int = 8
    head_dim: int = 0
    normalise: bool | None = None
    similarity: Similarity | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    include_prompt: bool | None = None
    append_end: bool = True
    generates: bool = False
    generation_prompt: str = "Query: {query}\nPassage:"
    query_likelihood: Literal["", "stop", "open"] = ""
    reference: bool = False
    head: bool = False
    adapters: Literal["merge", "keep"] = "merge"

    def __post_init__(self) -> None:
        if self.attention:
            check_choice("attention", self.attention, Direction)
        if self.pooling:
            check_pooling(self.pooling)
        if self.similarity == "cosine" and self.normalise is False:
            raise BadInput("normalise is false and similarity cosine, which has unit vectors. Set similarity to dot.")
        check_choice("adapters", self.adapters, Literal["merge", "keep"])
        if "{query}" not in self.generation_prompt:
            raise BadInput(f"generation_prompt is {self.generation_prompt!r}; it must hold {{query}}.")
        check_choice("query_likelihood", self.query_likelihood, Literal["", "stop", "open"])
        if self.query_likelihood and not (self.generates and self.append_end):
            raise BadInput(
                f"query_likelihood is {self.query_likelihood!r}, which needs generates and append_end. Set both true."
            )
        if self.reference and not self.generates:
            raise BadInput("reference is true and generates false: a reference is for generation. Set generates too.")
        LatentShape(self.latents, self.heads, self.head_dim)

    def changed(self, told: LlmTable, max_tokens: int, window: int) -> LlmTable:
        """The folder's table with what is asked for."""
        attention = self.attention or told.attention
        pooling = self.pooling or _usual(told, attention)
        similarity = self.similarity or told.similarity
        normalise = told.normalised if self.normalise is None else self.normalise
        asked = {name: getattr(self, name) for name in ("query_prompt", "document_prompt", "include_prompt")}
        kept: dict[str, Any] = {name: getattr(told, name) if value is None else value for name, value in asked.items()}
        latent = told.latent if pooling == told.pooling else LatentShape(self.latents, self.heads, self.head_dim)
        return LlmTable(
            attention=attention,
            pooling=pooling,
            normalised=similarity == "cosine" or normalise,
            similarity=similarity,
            max_tokens=max_tokens,
            window=window,
            latent=latent if pooling in LEARNED else None,
            **kept,
        )


def _usual(told: LlmTable, attention: Direction) -> str:
    """The folder's pooling; over a direction that is turned, the usual one."""
    if attention == told.attention:
        return told.pooling
    return "mean" if attention == "bidirectional" else "lasttoken"
