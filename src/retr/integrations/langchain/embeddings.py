"""A retr encoder as LangChain's Embeddings, and any Embeddings as a retr encoder."""

from functools import cached_property

from langchain_core.embeddings import Embeddings

from retr import opening
from retr.integrations.embedders import EmbedderEncoder
from retr.retrieval.embeddings import Embeddings as Encoded
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder


class RetrEmbeddings(Embeddings):
    """`model` is a name, a folder, `KIND=SOURCE`, or an encoder; queries and documents get their own prompts."""

    def __init__(self, model: str | Encoder = opening.DEFAULT_ENCODER) -> None:
        self.model = model

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, loaded when first needed. BadInput for one that gives a vector a token."""
        encoder = opening.load_encoder(self.model) if isinstance(self.model, str) else self.model
        if encoder.similarity == "maxsim":
            raise BadInput("A late-interaction encoder gives a vector a token; Embeddings need one a text.")
        return encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text, in order."""
        return _lists(self.encoder.encode_documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """The vector of a query."""
        return _lists(self.encoder.encode_queries([text]))[0]


def encoder_of(embeddings: Embeddings) -> str | Encoder:
    """Our own encoder back, or another embedder wrapped; its queries are embedded one by one, as LangChain does."""
    if isinstance(embeddings, RetrEmbeddings):
        return embeddings.model
    return EmbedderEncoder.of(
        embeddings, embeddings.embed_documents, lambda texts: [embeddings.embed_query(text) for text in texts]
    )


def _lists(embeddings: Encoded) -> list[list[float]]:
    assert isinstance(embeddings, Vectors)
    found: list[list[float]] = embeddings.values.tolist()
    return found
