"""What a collection needs of its encoder: facts for the manifest, a chunker, and an encoder for given vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from retr.index.dense.settings import DenseSettings
from retr.index.disk.manifest import EncoderFacts
from retr.retrieval.chunking import Chunker, ChunkSettings
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder, Similarity, TokenAware

GOLDEN_TEXT = "A golden text: the vector of this sentence tells one encoder from another."
_GIVEN = "given"


class GivenVectors:
    """Stands for an encoder where every vector comes from the user, with the documents and with the queries."""

    def __init__(self, dim: int, similarity: Similarity = "cosine") -> None:
        if dim < 1:
            raise BadInput(f"dim must be at least 1; got {dim}.")
        if similarity not in ("cosine", "dot"):
            raise BadInput(f"similarity must be 'cosine' or 'dot'; got {similarity!r}.")
        self.dim = dim
        self.similarity: Similarity = similarity

    @property
    def fingerprint(self) -> str:
        """Says all there is to say: nothing is encoded."""
        return f"{_GIVEN}-{self.dim}-{self.similarity}"

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """An empty result for no text; BadInput otherwise."""
        if texts:
            raise BadInput(
                "This collection holds vectors that were given to it and has no encoder. Add documents with vectors=, "
                "search with nearest(vectors), or with mode='lexical'."
            )
        return Vectors(np.empty((0, self.dim), np.float32))

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """As `encode_queries`."""
        return self.encode_queries(texts)


def given(facts: EncoderFacts) -> GivenVectors | None:
    """The stand-in that a collection was made with; None when it has a real encoder."""
    if facts.spec != _GIVEN:
        return None
    return GivenVectors(facts.dim, "dot" if facts.similarity == "dot" else "cosine")


def make_chunker(settings: ChunkSettings, encoder: Encoder | None) -> Chunker:
    """Cuts by the encoder's own tokens where it shows its tokenizer."""
    if isinstance(encoder, TokenAware):
        return Chunker(settings, encoder.tokenizer, encoder.max_tokens)
    return Chunker(settings)


def encoder_facts(encoder: Encoder, spec: str, dense: DenseSettings) -> EncoderFacts:
    """What the manifest says of the encoder. BadInput when it gives no single vectors, or too few numbers."""
    if dense.dim is not None and dense.dim > encoder.dim:
        raise BadInput(f"dim {dense.dim} is more than the encoder's {encoder.dim}. Give at most {encoder.dim}.")
    if isinstance(encoder, GivenVectors):
        return EncoderFacts(_GIVEN, encoder.fingerprint, encoder.dim, encoder.similarity)
    golden = encoder.encode_documents([GOLDEN_TEXT])
    if not isinstance(golden, Vectors):
        raise BadInput("This encoder gives one vector a token; a late-interaction index is needed for it.")
    describe: dict[str, Any] = getattr(encoder, "describe", dict)()
    kind = type(encoder)
    return EncoderFacts(
        spec=spec or f"{kind.__module__}:{kind.__qualname__}",
        fingerprint=encoder.fingerprint,
        dim=encoder.dim,
        similarity=encoder.similarity,
        describe=describe,
        golden=tuple(float(value) for value in np.round(golden.values[0], 6)),
    )
