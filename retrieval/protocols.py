"""The three things a user can bring of their own: Encoder, Scorer, Index. No base class is needed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Embeddings, Floats
from retr.retrieval.pictures import Picture

Similarity = Literal["cosine", "dot", "maxsim"]
Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two stand just outside."""


@runtime_checkable
class Encoder(Protocol):
    """Texts to embeddings. A text's embedding does not depend on the other texts of the call."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def similarity(self) -> Similarity:
        """How two embeddings are compared. `cosine` encoders give unit vectors."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the embeddings may: weights, tokenizer, pooling, prompts, dim, normalisation."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """One embedding a text, in order; an empty list gives an empty result."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        """One embedding a text, in order; an empty list gives an empty result."""
        ...


@runtime_checkable
class TokenAware(Protocol):
    """An encoder that shows its tokenizer, so that passages can be cut to what it reads."""

    @property
    def max_tokens(self) -> int:
        """Tokens of one text that the encoder reads, special tokens included; what is beyond is cut off."""
        ...

    @property
    def tokenizer(self) -> Any:
        """A `tokenizers.Tokenizer`."""
        ...


@runtime_checkable
class TokenSpans(Protocol):
    """An encoder of tokens that says where in a text each vector's token stands."""

    def spans(
        self, texts: Sequence[str], task: Literal["query", "document"] = "document"
    ) -> list[list[tuple[str, tuple[int, int]]]]:
        """For each text each vector's token and its (start, end) in code points; (0, 0) for one that stands nowhere.

        BadInput where a vector stands for several tokens.
        """
        ...


@runtime_checkable
class ReadsImages(Protocol):
    """An encoder that reads images as well as texts, so that each is found by the other."""

    def encode_images(self, images: Iterable[Picture]) -> Embeddings:
        """One embedding an image, in order, of the kind that texts have; BadInput or Damaged for what is none.

        Images are taken a few at a time, so that not all need be in memory.
        """
        ...

    def boxes(self, width: int, height: int) -> Sequence[Box]:
        """Where in a picture of that size each of its vectors stands; the whole of what is seen, where it has one."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A query and all its candidates to scores, in the order given. It does not sort."""

    @property
    def comparable(self) -> bool:
        """Whether scores of different calls may be compared (pairwise: yes; listwise: no)."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the scores may."""
        ...

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text; higher is better."""
        ...


@runtime_checkable
class VectorScorer(Scorer, Protocol):
    """A scorer that reads an encoder's vectors, so that those an index of that encoder holds need not be made again."""

    @property
    def reads(self) -> str:
        """The fingerprint of that encoder; "" where vectors as an index holds them will not do."""
        ...

    def score_vectors(self, query: Floats, vectors: Floats) -> Floats:
        """One float32 a text, of the query's vector [dim] and the texts' [texts, dim]: what `score` would give them."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The best rows of an index, best first: scores float32 [queries, k], rows int64 [queries, k].

    Where fewer than k rows match, the rest holds row -1 and score -inf. Ties are broken by the lower row.
    """

    scores: Floats
    rows: NDArray[np.int64]


class Index(Protocol):
    """One searchable structure over rows 0..n-1. It does not encode and knows no ids."""

    def __len__(self) -> int:
        """Rows held."""
        ...

    def add(self, embeddings: Embeddings) -> None:
        """Append rows."""
        ...

    def search(self, queries: Embeddings, k: int, allowed: NDArray[np.bool_] | None = None) -> Matches:
        """The k best rows a query; with `allowed` [rows], only those that are True."""
        ...

    def save(self, path: Path) -> None:
        """Write the structure into the file or folder `path`."""
        ...

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        ...
