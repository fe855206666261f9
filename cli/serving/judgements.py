"""`/v1/judgements`: thumbs of the page, kept as qrels."""

import asyncio
from typing import Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from retr.cli.serving.documents import Id
from retr.cli.serving.failures import Failure
from retr.cli.serving.judging import Judgements
from retr.cli.serving.parsing import OwnAsked, Text, Told, reply, router, service_of
from retr.cli.serving.service import Service
from retr.index.searching import MAX_QUERY_CHARACTERS, check_query
from retr.index.stores import is_store

routes = router("Judgements")

Asking = Annotated[Text, Field(max_length=MAX_QUERY_CHARACTERS)]


class JudgementGiven(OwnAsked):
    """A grade for a document as an answer to a query: 0 is not relevant, more is better, null takes it back."""

    query: Asking
    id: Id
    grade: Annotated[int, Field(ge=0, le=10)] | None


class JudgementsTold(Told):
    """Grades by document id."""

    query: str
    grades: dict[str, int]


@routes.post("/v1/judgements", response_model=JudgementsTold, summary="Judge a hit")
async def judge(body: JudgementGiven, request: Request) -> Response:
    """Written as qrels, with the query beside them; on disk when this returns."""
    service = service_of(request)
    kept = _judgements(service)
    check_query(body.query)
    if not await asyncio.to_thread(service.collection.get, [body.id]):
        raise Failure(404, f"There is no document {body.id[:80]!r} in the index.", "not_found")
    await asyncio.to_thread(kept.put, body.query, body.id, body.grade)
    return await _told(kept, body.query)


@routes.get("/v1/judgements", response_model=JudgementsTold, summary="What was judged of a query")
async def judged(request: Request, query: Annotated[Asking, Query()]) -> Response:
    """Empty where nothing was."""
    check_query(query)
    return await _told(_judgements(service_of(request)), query)


async def _told(kept: Judgements, query: str) -> Response:
    return reply({"query": query, "grades": await asyncio.to_thread(kept.of, query)})


def _judgements(service: Service) -> Judgements:
    path, home = service.settings.judgements, service.settings.index
    if path is None and is_store(home):
        raise Failure(404, "Beside a store there is no room for judgements. Start with --judgements FILE.", "no_file")
    return Judgements(path) if path is not None else Judgements.beside(service.collection.folder)
