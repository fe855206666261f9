"""Reranking in two dialects: Cohere's `/v2/rerank`, and Jina's `/v1/rerank`, which `/rerank` is another name of."""

import asyncio
import uuid
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from starlette.responses import Response

from retr.cli.serving.models import checked_name
from retr.cli.serving.parsing import Asked, Text, Told, reply, router, service_of
from retr.cli.serving.spans import cut_to_tokens, relevant_spans, sigmoid
from retr.encoders.batching.pairs import PairBatcher, joined_scores
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

MOST_DOCUMENTS = 1000

cohere = router("Cohere")
jina = router("Jina")

Count = Annotated[int, Field(ge=1)]


class SpansAsked(Asked):
    """Which sentences of a document made its score."""

    mode: Literal["enabled", "disabled"]
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    max_spans: Count | None = None


class CohereRequest(Asked):
    """`raw_scores` is ours: the model's own scores, not brought to 0…1."""

    query: Text
    documents: Annotated[list[str], Field(min_length=1, max_length=MOST_DOCUMENTS)]
    model: str | None = None
    top_n: Count | None = None
    max_tokens_per_doc: Count = 4096
    relevant_spans: SpansAsked | None = None
    priority: int | None = None
    raw_scores: bool = False


class Span(Told):
    """A sentence: `[start, end)` in code points, and its score from 0 to 1."""

    start: int
    end: int
    score: float


class CohereResult(Told):
    """A document by its place in the request."""

    index: int
    relevance_score: float
    relevant_spans: list[Span] | None = None


class CohereAnswer(Told):
    """Best first."""

    id: str
    results: list[CohereResult]
    meta: dict[str, Any]


class TextObject(Asked):
    """A document or query as an object; further fields are given back with it."""

    text: str
    model_config = ConfigDict(extra="allow")


class JinaRequest(Asked):
    """`raw_scores` is ours, as for Cohere's."""

    query: Text | TextObject
    documents: Annotated[list[str | TextObject], Field(min_length=1, max_length=MOST_DOCUMENTS)]
    model: str | None = None
    top_n: Count | None = None
    return_documents: bool = True
    raw_scores: bool = False


class JinaResult(Told):
    """A document by its place in the request."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class JinaUsage(Told):
    """Tokens of all pairs."""

    prompt_tokens: int
    total_tokens: int


class JinaAnswer(Told):
    """Best first."""

    object: Literal["list"] = "list"
    model: str
    usage: JinaUsage
    results: list[JinaResult]


@cohere.post("/v2/rerank", response_model=CohereAnswer, summary="Texts ordered by relevance (Cohere)")
async def rerank_cohere(body: CohereRequest, request: Request) -> Response:
    """Scores are the sigmoid of the model's; a span is a sentence that the model scored by itself."""
    models = service_of(request).models
    scorer = models.scorer.batcher
    checked_name(body.model, models.scorer_names)
    texts = await asyncio.to_thread(cut_to_tokens, scorer.scorer, body.documents, body.max_tokens_per_doc)
    scores, tokens = await scored(scorer, body.query, texts)
    asked = body.relevant_spans
    results = []
    for index in _best(scores, body.top_n):
        result: dict[str, Any] = {"index": index, "relevance_score": _told(scores[index], raw=body.raw_scores)}
        if asked is not None and asked.mode == "enabled":
            spans = await relevant_spans(scorer, body.query, texts[index], asked.threshold, asked.max_spans)
            if spans:
                result["relevant_spans"] = spans
        results.append(result)
    meta = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": tokens},
    }
    return reply({"id": str(uuid.uuid4()), "results": results, "meta": meta})


@jina.post("/v1/rerank", response_model=JinaAnswer, summary="Texts ordered by relevance (Jina)")
@jina.post("/rerank", response_model=JinaAnswer, summary="The same as /v1/rerank")
async def rerank_jina(body: JinaRequest, request: Request) -> Response:
    """Documents are strings, or objects with a `text`, which are given back whole."""
    models = service_of(request).models
    scorer = models.scorer.batcher
    model = checked_name(body.model, models.scorer_names)
    query = body.query if isinstance(body.query, str) else body.query.text
    if not query:
        raise BadInput("query.text is empty. Say what to look for.")
    texts = [one if isinstance(one, str) else one.text for one in body.documents]
    scores, tokens = await scored(scorer, query, texts)
    results = []
    for index in _best(scores, body.top_n):
        result: dict[str, Any] = {"index": index, "relevance_score": _told(scores[index], raw=body.raw_scores)}
        if body.return_documents:
            document = body.documents[index]
            result["document"] = {"text": document} if isinstance(document, str) else document.model_dump()
        results.append(result)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return reply({"object": "list", "model": model, "usage": usage, "results": results})


async def scored(scorer: PairBatcher, query: str, texts: list[str]) -> tuple[NDArray[np.float64], int]:
    """The scores of the texts, and the tokens read. BadInput for a score that is not finite."""
    read = await asyncio.to_thread(scorer.read, query, texts)
    parts: list[Floats] = await asyncio.wrap_future(scorer.submit(read))
    scores = joined_scores(parts).astype(np.float64)
    if not np.isfinite(scores).all():
        raise BadInput("The reranker gave a score that is no number. Check the model's weights.")
    return scores, read.tokens


def _best(scores: NDArray[np.float64], top: int | None) -> list[int]:
    """Places, best first; equal scores keep their order."""
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order[:top]


def _told(score: float, *, raw: bool) -> float:
    return float(score) if raw else sigmoid(float(score))
