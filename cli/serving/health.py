"""For those who run a server: is it alive, is it ready, what has it counted."""

import asyncio
from typing import Any, Literal

from fastapi import Request
from starlette.responses import PlainTextResponse, Response

from retr.cli.serving.parsing import Told, reply, router, service_of
from retr.retrieval.version import VERSION

routes = router("Operation")


class Health(Told):
    """The process answers."""

    status: Literal["ok"]
    version: str


class Ready(Told):
    """Whether new requests are welcome, and what is served."""

    ready: bool
    generation: int | None
    documents: int | None
    encoder: str | None
    reranker: str | None


@routes.get("/health", response_model=Health, summary="Alive")
async def health() -> Response:
    """200 as long as the process answers; restart it when it does not."""
    return reply({"status": "ok", "version": VERSION})


@routes.get("/ready", response_model=Ready, responses={503: {"model": Ready}}, summary="Ready for requests")
async def ready(request: Request) -> Response:
    """503 from SIGTERM on, so that a balancer sends new requests elsewhere."""
    service = service_of(request)
    models = service.models
    manifest = service.collection.manifest if service.has_index else None
    told: dict[str, Any] = {
        "ready": service.ready,
        "generation": manifest.generation if manifest else None,
        "documents": manifest.live_documents if manifest else None,
        "encoder": next(iter(models.encoder_names), None),
        "reranker": service.reranker,
    }
    answer = reply(told)
    answer.status_code = 200 if service.ready else 503
    return answer


@routes.get("/metrics", response_class=PlainTextResponse, summary="Counts for Prometheus")
async def metrics(request: Request) -> Response:
    """Counts of requests, queues, batches and times; of all workers."""
    service = service_of(request)
    service.tell_queues()
    text = await asyncio.to_thread(service.metrics.text)
    return Response(text, media_type=service.metrics.content_type)
