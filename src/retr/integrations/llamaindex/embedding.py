"""A retr encoder as LlamaIndex's embedding."""

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from retr import opening
from retr.retrieval.embeddings import Embeddings, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder


class RetrEmbedding(BaseEmbedding):
    """`model_name` is a name, a folder or `KIND=SOURCE`; queries and texts get their own prompts."""

    model_name: str = opening.DEFAULT_ENCODER

    _encoder: Encoder = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Load the model; BadInput for one that gives a vector a token."""
        super().model_post_init(context)
        self._encoder = opening.load_encoder(self.model_name)
        if self._encoder.similarity == "maxsim":
            raise BadInput("A late-interaction encoder gives a vector a token; an embedding needs one a text.")

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex serializes."""
        return "RetrEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return _lists(self._encoder.encode_queries([query]))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return _lists(self._encoder.encode_documents(texts))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def _lists(embeddings: Embeddings) -> list[list[float]]:
    assert isinstance(embeddings, Vectors)
    found: list[list[float]] = embeddings.values.tolist()
    return found
