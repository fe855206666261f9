"""A Distilled Sentence Embedding as an encoder: the first stage of a search, whose second is its head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retr.encoders.distilled.model import DseModel, load_model
from retr.encoders.reading.tokenizing import Tokens
from retr.encoders.running.pipeline import Side
from retr.encoders.running.pooling import unit
from retr.retrieval.embeddings import Vectors
from retr.retrieval.protocols import Similarity


@dataclass(frozen=True, slots=True, eq=False)
class DseEncoder:
    """With the head `dot` vectors as trained, compared by their inner product; else u at unit length."""

    model: DseModel

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.model.dim

    @property
    def similarity(self) -> Similarity:
        """`dot` ranks exactly as its head does; the cosine of `concat` only finds candidates for its own."""
        return "dot" if self.model.shape.head == "dot" and not self.model.shape.unit else "cosine"

    @property
    def fingerprint(self) -> str:
        """The model's."""
        return self.model.fingerprint

    @property
    def max_tokens(self) -> int:
        """Tokens of one text that are read."""
        return self.model.max_tokens

    @property
    def tokenizer(self) -> Any:
        """The model's."""
        return self.model.tokenizer

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        return self.encode_tokens(self.model.tokenize(texts))

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order: the same as of queries."""
        return self.encode_tokens(self.model.tokenize(texts))

    def tokenize(self, texts: Sequence[str], side: Side) -> Tokens:
        """The token numbers of each text; both sides are alike."""
        return self.model.tokenize(texts)

    def encode_tokens(self, tokens: Tokens) -> Vectors:
        """One vector a text, in order."""
        found = self.model.vectors_of(tokens)
        return Vectors(found if self.similarity == "dot" else unit(found))

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows."""
        return {**self.model.describe(), "dim": self.dim, "similarity": self.similarity}


def load(source: str) -> DseEncoder:
    """The encoder of a folder."""
    return DseEncoder(load_model(source))
