"""`POST /v1/search`: the collection's search, in JSON as `retr search --json` has it."""

import asyncio
import time
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from retr.cli.hits import hit_json
from retr.cli.serving.parsing import OwnAsked, Text, Told, reply, router, service_of
from retr.cli.serving.pictures import Base64, asking
from retr.cli.serving.service import Found, Service
from retr.index.searching import MAX_QUERY_CHARACTERS
from retr.index.settings import SearchSettings
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.pictures import Picture

MOST_HITS = 1000
MOST_CANDIDATES = 10_000

routes = router("Search")

Depth = Annotated[int, Field(ge=1, le=MOST_CANDIDATES)]
Weight = Annotated[float, Field(ge=0, le=1e6)]


class SearchRequest(OwnAsked):
    """The words of `retr search`: `where` is a filter, `rerank` lets the server's reranker see the best hits.

    In place of the query an `image` may ask, the bytes of a file in base64, where the index's encoder reads images.
    """

    query: Annotated[Text, Field(max_length=MAX_QUERY_CHARACTERS)] | None = None
    image: Base64 | None = None
    k: Annotated[int, Field(ge=1, le=MOST_HITS)] = 10
    mode: str = "hybrid"
    where: Annotated[str, Field(max_length=8192)] | None = None
    rerank: bool = False
    rerank_depth: Annotated[int, Field(ge=1, le=MOST_HITS)] = 50
    fusion: str = "rrf"
    weights: Annotated[list[Weight], Field(min_length=2, max_length=2)] = Field(default_factory=lambda: [1.0, 1.0])
    depth: Depth = 100
    candidates: Depth | None = None
    exact: bool = False
    passages: bool = False
    explain: bool = False

    @property
    def asked(self) -> str | Picture:
        """The query, or the picture in its place; BadInput without either, with both, or for what is no picture."""
        if (self.query is None) == (self.image is None):
            raise BadInput("query: give the query, or in its place an image; one of the two.")
        return asking(self.image) if self.image is not None else self.query or ""

    def settings(self) -> SearchSettings:
        """The same as the library words it; BadInput for names that it does not know."""
        try:
            return self._settings()
        except NotFound as error:  # of a mode, say: nothing at an address, as 404 would have it
            raise BadInput(str(error)) from None

    def _settings(self) -> SearchSettings:
        return SearchSettings(
            mode=self.mode,  # type: ignore[arg-type]  # checked by SearchSettings
            where=self.where,
            group="passage" if self.passages else "document",
            fusion=self.fusion,
            weights=(self.weights[0], self.weights[1]),
            depth=self.depth,
            rerank_depth=self.rerank_depth,
            explain=self.explain,
            exact=self.exact,
            candidates=self.candidates,
        )


class Snippet(Told):
    """The part that answers best; `marks` are [start, end) of the matched words."""

    text: str
    marks: list[tuple[int, int]]


class HitTold(Told):
    """A hit, as `retr search --json` has it."""

    id: str
    score: float
    rank: int
    title: str
    text: str
    metadata: dict[str, Any]
    source: dict[str, Any]
    snippet: Snippet
    explain: dict[str, Any] | None = None


class SearchAnswer(Told):
    """Best first; `generation` is that of the index which answered. The query is empty where an image asked."""

    query: str
    hits: list[HitTold]
    took_ms: float
    mode: Literal["hybrid", "dense", "lexical", "late"]
    generation: int


@routes.post("/v1/search", response_model=SearchAnswer, summary="Search the index")
async def search(body: SearchRequest, request: Request) -> Response:
    """The k best hits; `took_ms` is from the request's arrival, waiting included."""
    started = time.perf_counter()
    service, settings = service_of(request), body.settings()
    query = await asyncio.to_thread(lambda: body.asked) if body.image else body.asked
    found = await service.search(query, body.k, settings, rerank=body.rerank)
    hits = await asyncio.to_thread(_hits, service, found, body.query or "")
    took = round((time.perf_counter() - started) * 1000, 1)
    return reply(
        {
            "query": body.query or "",
            "hits": hits,
            "took_ms": took,
            "mode": settings.mode,
            "generation": found.generation,
        }
    )


def _hits(service: Service, found: Found, query: str) -> list[dict[str, Any]]:
    return [hit_json(service.collection, hit, query) for hit in found.hits]
