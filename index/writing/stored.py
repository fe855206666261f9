"""What encoders give, as a collection holds it: one vector a passage, one a token, and both for each document."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.manifest import EncoderFacts
from retr.index.exact import single
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors, check_finite
from retr.retrieval.errors import BadInput, Mismatch

_BLOCK_TOKENS = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Some passages' vectors: float32 [passages, dim], and their tokens'; None for the kind that is not kept."""

    vectors: Floats | None = None
    tokens: TokenVectors | None = None

    def __getitem__(self, passages: slice) -> "Stored":
        """The vectors of some passages that stand together."""
        vectors = None if self.vectors is None else self.vectors[passages]
        return Stored(vectors, None if self.tokens is None else part_of(self.tokens, passages.start, passages.stop))

    @property
    def token_bytes(self) -> int:
        """Memory that the tokens' vectors take."""
        return 0 if self.tokens is None else self.tokens.values.nbytes


def stored(embeddings: Embeddings, encoder: EncoderFacts, dim: int) -> NDArray[np.float32]:
    """Vectors as the collection holds them: float32 [texts, dim], finite.

    Where fewer numbers are kept than the encoder gives (Matryoshka, arXiv 2205.13147), cosine vectors are made unit
    again.
    """
    values = single(embeddings, encoder.dim)
    check_finite(embeddings)
    if dim == encoder.dim:
        return values
    values = np.ascontiguousarray(values[:, :dim])
    if encoder.similarity == "cosine":
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return values


def stored_tokens(embeddings: Embeddings, encoder: EncoderFacts) -> TokenVectors:
    """Token vectors as a collection takes them: of the encoder's dim, each of length 1, one or more a text."""
    if not isinstance(embeddings, TokenVectors):
        raise Mismatch("The late encoder gave one vector a text; this collection needs one a token.")
    if embeddings.dim != encoder.dim:
        raise Mismatch(f"The late encoder gave tokens of {embeddings.dim} numbers; the collection has {encoder.dim}.")
    check_finite(embeddings)
    empty = np.flatnonzero(np.diff(embeddings.offsets) == 0)
    if len(empty):
        raise BadInput(
            f"The late encoder gave no token for text {int(empty[0])} of {len(embeddings)}. Check its skips."
        )
    from retr.index.late.training import check_unit

    check_unit(embeddings.values)
    return embeddings


def part_of(tokens: TokenVectors, start: int, stop: int) -> TokenVectors:
    """The texts from `start` to `stop`, as a view."""
    ends = tokens.offsets[start : stop + 1]
    return TokenVectors(tokens.values[ends[0] : ends[-1]], ends - ends[0])


def joined(parts: Sequence[TokenVectors]) -> TokenVectors:
    """The texts of all parts, of which there must be one, in order."""
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenVectors(np.concatenate([part.values for part in parts]), offsets)


def blocks_of(parts: Iterable[TokenVectors]) -> Iterator[TokenVectors]:
    """The same texts in parts of some tokens, so that each is coded in one go."""
    waiting: list[TokenVectors] = []
    for part in parts:
        waiting.append(part)
        if sum(len(one.values) for one in waiting) >= _BLOCK_TOKENS:
            yield joined(waiting)
            waiting = []
    if waiting:
        yield joined(waiting)
