"""A framework's embedder as our Encoder, so that a collection can be bound to it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from retr.index.writing.creation import GOLDEN_TEXT
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import Mismatch
from retr.retrieval.protocols import Similarity

SAME = 0.99
"""The least cosine of a golden text's vector, then and now: services repeat theirs to about four digits."""

Embed = Callable[[list[str]], Sequence[Sequence[float]]]


class EmbedderEncoder:
    """Two functions, texts to vectors, as an encoder whose vectors are compared by cosine.

    `name` says which embedder it is. The embedder is asked for one vector when something is first needed of it.
    """

    similarity: Similarity = "cosine"

    def __init__(self, embed_documents: Embed, embed_queries: Embed, *, name: str) -> None:
        self._documents, self._queries = embed_documents, embed_queries
        self.name = name

    @classmethod
    def of(cls, embedder: object, embed_documents: Embed, embed_queries: Embed) -> "EmbedderEncoder":
        """With the name that the embedder's class and model have."""
        return cls(embed_documents, embed_queries, name=name_of(embedder))

    @cached_property
    def _golden(self) -> Floats:
        return _unit(self._documents([GOLDEN_TEXT]))

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self._golden.shape[1])

    @property
    def fingerprint(self) -> str:
        """From the embedder's name and the length of its vectors; `check_golden` compares the vectors themselves."""
        return hashlib.sha256(f"{self.name} {self.dim}".encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One unit vector a text."""
        return self._encode(self._queries, texts)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One unit vector a text."""
        return Vectors(self._golden) if list(texts) == [GOLDEN_TEXT] else self._encode(self._documents, texts)

    def _encode(self, embed: Embed, texts: Sequence[str]) -> Vectors:
        if not texts:
            return Vectors(np.empty((0, self.dim), np.float32))
        return Vectors(_unit(embed(list(texts))))

    def check_golden(self, golden: Sequence[float]) -> None:
        """Mismatch when the vector of the golden text is no longer what an index was made with."""
        if len(golden) != self.dim:
            return  # The index's own check of dimensions says so better.
        cosine = float(_unit([golden])[0] @ self._golden[0])
        if cosine < SAME:
            raise Mismatch(
                f"{self.name} no longer gives the vectors that this index was made with (cosine {cosine:.4f} for the "
                "same text). Use the embedder it was made with, or make a new index."
            )


def name_of(embedder: object) -> str:
    """Such as `langchain_openai.embeddings.base:OpenAIEmbeddings(model='text-embedding-3-small')`.

    Only attributes that name a model count: keys, clients and batch sizes change no vector, or must not be stored.
    """
    kind = type(embedder)
    attributes: Mapping[str, Any] = getattr(embedder, "__dict__", {})
    named = {
        name: value
        for name, value in sorted(attributes.items())
        if isinstance(value, str) and not name.startswith("_") and ("model" in name or "deployment" in name)
    }
    told = ", ".join(f"{name}={value!r}" for name, value in named.items())
    return f"{kind.__module__}:{kind.__qualname__}({told})"


def is_name(spec: str) -> bool:
    """Whether this is such a name, and not the spec of an encoder of retr's."""
    return spec.endswith(")") and ":" in spec.partition("(")[0]


def _unit(vectors: Sequence[Sequence[float]]) -> Floats:
    values = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1), np.float32)
