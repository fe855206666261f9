"""OpenAI's embeddings: `POST /v1/embeddings`, and the list of models."""

import asyncio
import base64
import time
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Request
from pydantic import Field, field_validator
from starlette.responses import Response

from retr.cli.serving.failures import Failure, refused_token_ids
from retr.cli.serving.models import Models, checked_name
from retr.cli.serving.parsing import Asked, Text, Told, reply, router, service_of
from retr.encoders.batching.texts import TextBatcher, joined
from retr.encoders.running.pipeline import Side
from retr.retrieval.embeddings import Floats

MOST_TEXTS = 2048
URGENT_TOKENS = 512
"""Requests up to this many tokens go before larger ones."""
INLINE_CHARACTERS = 2000
"""Up to here reading a text takes less time than handing it to a thread."""

routes = router("OpenAI")
_started = int(time.time())


class EmbeddingRequest(Asked):
    """`input_type` is ours: what the texts are to the encoder, if it tells queries from documents."""

    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None
    input_type: Literal["query", "document"] = "document"

    @field_validator("input", mode="before")
    @classmethod
    def _no_token_ids(cls, value: Any) -> Any:
        first = value[0] if isinstance(value, list) and value else None
        first = first[0] if isinstance(first, list) and first else first
        if isinstance(first, int) and not isinstance(first, bool):
            raise ValueError(refused_token_ids().message)
        return value


class Embedding(Told):
    """One vector; a string is base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(Told):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Told):
    """One vector a text, in order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(Told):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(Told):
    """The models that are served."""

    object: Literal["list"] = "list"
    data: list[Model]


@routes.post("/v1/embeddings", response_model=EmbeddingList, summary="Texts to vectors")
async def embeddings(body: EmbeddingRequest, request: Request) -> Response:
    """One vector a text. Texts longer than the model reads are cut; the header `X-Retr-Truncated` counts them."""
    models = service_of(request).models
    batcher = models.encoder.batcher
    model = checked_name(body.model, models.encoder_names)
    dim = _dim(models, body.dimensions)
    texts = [body.input] if isinstance(body.input, str) else body.input
    side: Side = "queries" if body.input_type == "query" else "documents"
    vectors, tokens, cut = await encoded(batcher, texts, side)
    answer = reply(
        {
            "object": "list",
            "data": _listed(shortened(vectors, dim), body.encoding_format),
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
    if cut:
        answer.headers["X-Retr-Truncated"] = str(cut)
    return answer


@routes.get("/v1/models", response_model=ModelList, summary="The models that are served")
async def models(request: Request) -> Response:
    """The encoder's and the reranker's names."""
    held = service_of(request).models
    names = dict.fromkeys([*held.encoder_names, *held.scorer_names])
    return reply(
        {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": _started, "owned_by": "retr"} for name in names],
        }
    )


async def encoded(batcher: TextBatcher, texts: list[str], side: Side) -> tuple[Floats, int, int]:
    """Vectors [texts, dim], the tokens of all texts, and how many texts were cut."""
    if sum(map(len, texts)) <= INLINE_CHARACTERS:
        read = batcher.read(texts, side)
    else:
        read = await asyncio.to_thread(batcher.read, texts, side)
    rows = await asyncio.wrap_future(batcher.submit(read, urgent=read.tokens <= URGENT_TOKENS))
    return joined(rows, batcher.encoder.dim), read.tokens, read.cut


def shortened(vectors: Floats, dim: int) -> Floats:
    """The first `dim` numbers of each vector, made unit length again where something was left out."""
    if dim == vectors.shape[1]:
        return vectors
    short = vectors[:, :dim]
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    return np.ascontiguousarray(short / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def _dim(models: Models, asked: int | None) -> int:
    """The length to give; a Failure for one that the model was not trained for."""
    dims = models.dims()
    if asked is None or asked in dims:
        return asked or dims[-1]
    raise Failure(
        400,
        f"dimensions is {asked}; this model gives {' or '.join(map(str, dims))}. Shorter vectors are good only from "
        "models trained for them (Matryoshka): start the server with --matryoshka if this one is.",
        "invalid_dimensions",
    )


def _listed(vectors: Floats, form: str) -> list[dict[str, Any]]:
    rows: list[Any] = list(vectors)
    if form == "base64":
        rows = [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
    return [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
