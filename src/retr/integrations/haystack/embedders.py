"""A retr encoder as Haystack's text and document embedder."""

from dataclasses import replace
from typing import Any

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document as HaystackDocument

from retr import opening
from retr.retrieval.embeddings import Embeddings, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder


class _Loaded:
    """A model's spec, and the encoder once it is needed."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._encoder: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        if self._encoder is None:
            self._encoder = opening.load_encoder(self.model)
        return self._encoder


@component
class RetrTextEmbedder:
    """A query to its vector. `model` is a name, a folder, or `KIND=SOURCE`."""

    def __init__(self, model: str = opening.DEFAULT_ENCODER) -> None:
        self._loaded = _Loaded(model)

    def to_dict(self) -> dict[str, Any]:
        """What it was made with."""
        return default_to_dict(self, model=self._loaded.model)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RetrTextEmbedder":
        """What `to_dict` told of."""
        made: RetrTextEmbedder = default_from_dict(cls, data)
        return made

    def warm_up(self) -> None:
        """Load the model."""
        _ = self._loaded.encoder

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """The vector of one text, with the query's prompt."""
        return {"embedding": _lists(self._loaded.encoder.encode_queries([text]))[0]}


@component
class RetrDocumentEmbedder:
    """Documents to documents with vectors; `meta_fields_to_embed` are put before the content."""

    def __init__(
        self,
        model: str = opening.DEFAULT_ENCODER,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        self._loaded = _Loaded(model)
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    def to_dict(self) -> dict[str, Any]:
        """What it was made with."""
        return default_to_dict(
            self,
            model=self._loaded.model,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RetrDocumentEmbedder":
        """What `to_dict` told of."""
        made: RetrDocumentEmbedder = default_from_dict(cls, data)
        return made

    def warm_up(self) -> None:
        """Load the model."""
        _ = self._loaded.encoder

    @component.output_types(documents=list[HaystackDocument])
    def run(self, documents: list[HaystackDocument]) -> dict[str, Any]:
        """Copies of the documents with their vectors."""
        vectors = _lists(self._loaded.encoder.encode_documents([self._text(document) for document in documents]))
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in pairs]}

    def _text(self, document: HaystackDocument) -> str:
        fields = [str(document.meta[name]) for name in self.meta_fields_to_embed if document.meta.get(name) is not None]
        return self.embedding_separator.join([*fields, document.content or ""])


def _lists(embeddings: Embeddings) -> list[list[float]]:
    if not isinstance(embeddings, Vectors):
        raise BadInput("A late-interaction encoder gives a vector a token; Haystack's embedders give one a text.")
    found: list[list[float]] = embeddings.values.tolist()
    return found
