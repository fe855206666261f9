"""Texts of many callers to vectors: each text is a piece of its own, weighed by its tokens."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from retr.encoders.batching.batcher import Batch, Batcher
from retr.encoders.batching.settings import BatchSettings
from retr.encoders.reading.tokenizing import Tokens
from retr.encoders.running.pipeline import Side, Staged, encode_sorted
from retr.retrieval.embeddings import Floats
from retr.retrieval.protocols import Encoder, TokenAware


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Texts as they wait: `tokens` in all, of which `cut` texts had more than the encoder reads.

    An encoder that cannot be called in two steps keeps its texts, and `cut` is 0 where it does not say.
    """

    works: Sequence[Any]
    weights: Sequence[int]
    side: Side
    skip: int = 0
    cut: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of all texts; words, where the encoder shows no tokenizer."""
        return sum(self.weights)


class TextBatcher:
    """An encoder that many threads ask at a time. Vectors are those that the encoder alone would give."""

    def __init__(
        self,
        encoder: Encoder,
        settings: BatchSettings | None = None,
        *,
        seen: Callable[[Batch], None] | None = None,
    ) -> None:
        self.encoder = encoder
        self.batcher = Batcher(self._run, settings, name="encoder", seen=seen)

    def read(self, texts: Sequence[str], side: Side) -> Read:
        """The texts tokenized, in the caller's own thread. BadInput for what is not text."""
        if isinstance(self.encoder, Staged):
            tokens = self.encoder.tokenize(texts, side)
            return Read(tokens.ids, [len(row) for row in tokens.ids], side, tokens.skip, tokens.cut)
        return Read(list(texts), _counted(self.encoder, texts), side)

    def submit(self, read: Read, *, urgent: bool = False, bounded: bool = True) -> "Future[list[Floats]]":
        """One vector [dim] a text, in order. Full when too much waits, if `bounded`."""
        key = read.side, read.skip
        return self.batcher.submit(read.works, read.weights, key=key, urgent=urgent, bounded=bounded)

    def _run(self, key: tuple[Side, int], works: list[Any]) -> list[Floats]:
        side, skip = key
        if isinstance(self.encoder, Staged):
            return list(self.encoder.encode_tokens(Tokens(works, skip)).values)
        return list(encode_sorted(self.encoder, works, side=side).values)


def joined(rows: Sequence[Floats], dim: int) -> Floats:
    """The vectors of a request as one array [texts, dim]."""
    return np.stack(rows) if rows else np.empty((0, dim), np.float32)


def _counted(encoder: Encoder, texts: Sequence[str]) -> list[int]:
    if isinstance(encoder, TokenAware):
        most = encoder.max_tokens
        return [max(1, min(most, len(one.ids))) for one in encoder.tokenizer.encode_batch_fast(list(texts))]
    return [max(1, len(text.split())) for text in texts]
