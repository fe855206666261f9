"""An encoder and a scorer whose callers, in any thread, share batches: for those who ask by the usual protocols."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from retr.encoders.batching.pairs import PairBatcher
from retr.encoders.batching.texts import TextBatcher, joined
from retr.retrieval.embeddings import Embeddings, Floats, Vectors
from retr.retrieval.pictures import Picture
from retr.retrieval.protocols import Box, ReadsImages, Similarity, TokenAware


class SharedEncoder:
    """An `Encoder` with one vector a text. Queries go before documents; Full is raised for queries alone.

    Documents are taken however much waits: who indexes has begun a commit, and encodes from one thread.
    """

    def __init__(self, batcher: TextBatcher) -> None:
        self.batcher = batcher
        self.dim: int = batcher.encoder.dim
        self.similarity: Similarity = batcher.encoder.similarity
        self.fingerprint: str = batcher.encoder.fingerprint

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        found = self.batcher.submit(self.batcher.read(texts, "queries"), urgent=True)
        return Vectors(joined(found.result(), self.dim))

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        found = self.batcher.submit(self.batcher.read(texts, "documents"), bounded=False)
        return Vectors(joined(found.result(), self.dim))

    def describe(self) -> dict[str, Any]:
        """What the encoder says of itself."""
        tell = getattr(self.batcher.encoder, "describe", dict)
        found: dict[str, Any] = tell()
        return found


class SharedTokenEncoder(SharedEncoder):
    """The same of an encoder that shows its tokenizer."""

    @property
    def max_tokens(self) -> int:
        """Tokens of one text that the encoder reads."""
        encoder: Any = self.batcher.encoder
        return int(encoder.max_tokens)

    @property
    def tokenizer(self) -> Any:
        """A `tokenizers.Tokenizer`."""
        encoder: Any = self.batcher.encoder
        return encoder.tokenizer


class SharedImageEncoder(SharedEncoder):
    """The same of an encoder that reads images too. Images are not batched between callers."""

    def encode_images(self, images: Iterable[Picture]) -> Embeddings:
        """One embedding an image, in order."""
        return self._reader.encode_images(images)

    def boxes(self, width: int, height: int) -> Sequence[Box]:
        """Where each of a picture's vectors stands."""
        return self._reader.boxes(width, height)

    @property
    def _reader(self) -> ReadsImages:
        return cast(ReadsImages, self.batcher.encoder)


class SharedImageTokenEncoder(SharedImageEncoder, SharedTokenEncoder):
    """The same of one that reads images and shows its tokenizer."""


def shared(batcher: TextBatcher) -> SharedEncoder:
    """The encoder of a batcher, as callers know encoders."""
    aware, images = isinstance(batcher.encoder, TokenAware), isinstance(batcher.encoder, ReadsImages)
    if images:
        return SharedImageTokenEncoder(batcher) if aware else SharedImageEncoder(batcher)
    return SharedTokenEncoder(batcher) if aware else SharedEncoder(batcher)


class SharedScorer:
    """A `Scorer` that several threads ask at a time."""

    def __init__(self, batcher: PairBatcher) -> None:
        self.batcher = batcher
        self.comparable: bool = batcher.scorer.comparable
        self.fingerprint: str = batcher.scorer.fingerprint

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text. Full when too much waits."""
        return self.batcher.score(query, texts)
