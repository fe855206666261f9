"""Documents put into the index, taken out of it, and read back."""

import asyncio
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import Field, JsonValue
from starlette.responses import Response

from retr.cli.serving.parsing import OwnAsked, Text, Told, reply, router, service_of
from retr.cli.serving.writing import Write
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document, check_id

MOST_DOCUMENTS = 10_000
MOST_IDS_READ = 100

routes = router("Documents")

Id = Annotated[Text, Field(max_length=512)]


class DocumentGiven(OwnAsked):
    """One document; an id that is there already is replaced."""

    id: Id
    text: str
    title: str = ""
    metadata: dict[str, JsonValue] = Field(default_factory=dict)


class UpsertRequest(OwnAsked):
    """Documents, each id once."""

    documents: Annotated[list[DocumentGiven], Field(min_length=1, max_length=MOST_DOCUMENTS)]


class DeleteRequest(OwnAsked):
    """Ids; those that are not there do no harm."""

    ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_DOCUMENTS)]


class UpsertAnswer(Told):
    """On disk, and found by this worker from now on. The last three are null where requests shared a commit."""

    documents: int
    generation: int
    added: int | None
    updated: int | None
    unchanged: int | None


class DeleteAnswer(Told):
    """How many of the ids were there; they are found no more."""

    deleted: int
    generation: int


class DocumentTold(Told):
    """A document as it was given."""

    id: str
    text: str
    title: str
    metadata: dict[str, Any]


class DocumentList(Told):
    """Those of the ids asked for that there are, in that order."""

    documents: list[DocumentTold]


@routes.post("/v1/documents", response_model=UpsertAnswer, summary="Add or replace documents")
async def upsert(body: UpsertRequest, request: Request) -> Response:
    """Committed when this returns. What is unchanged is not encoded again."""
    documents = [Document(check_id(one.id), one.text, one.title, one.metadata) for one in body.documents]
    ids = {document.id for document in documents}
    if len(ids) < len(documents):
        raise BadInput("An id stands twice among the documents. Send each once.")
    done = await service_of(request).write(Write(documents=documents))
    counts = {name: getattr(done, name) for name in ("added", "updated", "unchanged")}
    return reply({"documents": done.documents, "generation": done.generation, **counts})


@routes.post("/v1/documents/delete", response_model=DeleteAnswer, summary="Delete documents")
async def delete(body: DeleteRequest, request: Request) -> Response:
    """Committed when this returns; `retr compact` then erases their texts from the files."""
    done = await service_of(request).write(Write(ids=list(dict.fromkeys(body.ids))))
    return reply({"deleted": done.deleted, "generation": done.generation})


@routes.get("/v1/documents", response_model=DocumentList, summary="Read documents by id")
async def read(request: Request, id: Annotated[list[Id], Query(min_length=1, max_length=MOST_IDS_READ)]) -> Response:
    """`?id=a&id=b`; ids that are not there are left out."""
    found = await asyncio.to_thread(service_of(request).collection.get, list(dict.fromkeys(id)))
    told = [{"id": one.id, "text": one.text, "title": one.title, "metadata": dict(one.metadata)} for one in found]
    return reply({"documents": told})
