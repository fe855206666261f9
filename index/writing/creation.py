"""What a collection needs of its encoder: facts for the manifest, a chunker, and an encoder for given vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from retr.index.dense.settings import DenseSettings
from retr.index.disk.manifest import EncoderFacts
from retr.index.late.settings import LateSettings
from retr.index.settings import CollectionSettings
from retr.index.writing.stored import stored_tokens
from retr.retrieval.chunking import Chunker, ChunkSettings
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder, ReadsImages, Similarity, TokenAware

GOLDEN_TEXT = "A golden text: the vector of this sentence tells one encoder from another."
_GIVEN = "given"


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """An encoder, and the spec that it can be loaded by again."""

    encoder: Encoder
    spec: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MadeWith:
    """The encoders of a new collection, that of passages before that of tokens, and what is noted of each."""

    encoders: Sequence[Encoder]
    passages: EncoderFacts | None
    tokens: EncoderFacts | None


def made_with(encoder: Encoder | None, spec: str, late: Named | None, settings: CollectionSettings) -> MadeWith:
    """What a collection with these encoders is made with. An encoder of tokens counts as `late`.

    BadInput where they or the settings do not go together.
    """
    if encoder is not None and encoder.similarity == "maxsim":
        if late is not None:
            raise BadInput("Both encoders are late ones. Give one of them, or one of passages beside it.")
        late, encoder = Named(encoder, spec), None
    if late is not None and encoder is None and settings.dense != DenseSettings():
        raise BadInput("kind, storage, dim and recall are of vectors of passages; this encoder gives those of tokens.")
    if late is None and settings.late != LateSettings():
        raise BadInput("bits are of token vectors, which a late encoder gives. Name one, or leave bits out.")
    encoders = [one for one in (encoder, late.encoder if late else None) if one is not None]
    make_chunker(settings.chunk, narrowest(encoders))
    of_passages = None if encoder is None else encoder_facts(encoder, spec, settings.dense)
    return MadeWith(encoders, of_passages, None if late is None else late_facts(late.encoder, late.spec))


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


def narrowest(encoders: Sequence[Encoder]) -> Encoder | None:
    """The encoder that reads least of a text, by which passages are cut; one that does not say reads everything."""
    aware = [encoder for encoder in encoders if isinstance(encoder, TokenAware)]
    return min(aware, key=lambda one: one.max_tokens) if aware else next(iter(encoders), None)


def encoder_facts(encoder: Encoder, spec: str, dense: DenseSettings) -> EncoderFacts:
    """What the manifest says of the encoder. BadInput when it gives no single vectors, or too few numbers."""
    if dense.dim is not None and dense.dim > encoder.dim:
        raise BadInput(f"dim {dense.dim} is more than the encoder's {encoder.dim}. Give at most {encoder.dim}.")
    if isinstance(encoder, GivenVectors):
        return EncoderFacts(_GIVEN, encoder.fingerprint, encoder.dim, encoder.similarity)
    golden = encoder.encode_documents([GOLDEN_TEXT])
    if not isinstance(golden, Vectors):
        raise BadInput("This encoder gives one vector a token, but its similarity is not maxsim. Say which it is.")
    return _facts(encoder, spec, golden.values[0])


def late_facts(encoder: Encoder, spec: str) -> EncoderFacts:
    """What the manifest says of a late encoder. BadInput when its token vectors cannot be kept."""
    from retr.index.late.codec import check_dim

    if encoder.similarity != "maxsim":
        raise BadInput(f"{spec or 'The late encoder'} gives no vectors of tokens. Name a late model, as late=FOLDER.")
    check_dim(encoder.dim)
    facts = _facts(encoder, spec, np.empty(0, np.float32))
    golden = stored_tokens(encoder.encode_documents([GOLDEN_TEXT]), facts)
    return replace(facts, golden=_rounded(golden_of(golden)))


def golden_of(embeddings: Embeddings) -> Floats:
    """The one vector that stands for a text: its own, or the mean of its tokens'."""
    if isinstance(embeddings, TokenVectors):
        return np.asarray(embeddings.values.mean(axis=0, dtype=np.float64), np.float32)
    return np.asarray(embeddings.values[0], np.float32)


def _facts(encoder: Encoder, spec: str, golden: Floats) -> EncoderFacts:
    describe: dict[str, Any] = dict(getattr(encoder, "describe", dict)())
    if isinstance(encoder, ReadsImages):
        describe["reads"] = ["texts", "images"]
    kind = type(encoder)
    return EncoderFacts(
        spec=spec or f"{kind.__module__}:{kind.__qualname__}",
        fingerprint=encoder.fingerprint,
        dim=encoder.dim,
        similarity=encoder.similarity,
        describe=describe,
        golden=_rounded(golden),
    )


def _rounded(vector: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in np.round(vector, 6))
