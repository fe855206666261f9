"""The application: routes, the guard before them, and the OpenAPI document."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from retr.cli.serving import documents, embeddings, health, judgements, page, pictures, reranking, searching
from retr.cli.serving.failures import Failure, answer
from retr.cli.serving.guarding import FREE, Guard, rule_of
from retr.cli.serving.keys import Keys
from retr.cli.serving.service import Service
from retr.retrieval.version import VERSION

ROUTERS = (
    embeddings.routes,
    reranking.cohere,
    reranking.jina,
    searching.routes,
    pictures.routes,
    documents.routes,
    judgements.routes,
    page.routes,
    health.routes,
)

ERRORS = {
    400: "The request is not acceptable; the message says why.",
    401: "The API key is missing or wrong.",
    403: "The key may not write.",
    404: "No such model, index or path here.",
    408: "The body arrived too slowly.",
    409: "The index and its encoder do not agree.",
    413: "The body is too large.",
    421: "The name asked for is not one that this server answers to.",
    429: "Too much waits; come back after Retry-After seconds.",
    503: "Shutting down, or another process writes, or the time is up.",
}


def make_app(service: Service, keys: Keys) -> Guard:
    """The server as an ASGI application; `service` is closed when it ends."""

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    app = FastAPI(title="retr", version=VERSION, lifespan=running, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    app.add_exception_handler(HTTPException, _refused)
    for routes in ROUTERS:
        app.include_router(routes)
    known = frozenset(route.path for routes in ROUTERS for route in routes.routes if hasattr(route, "path"))
    document = openapi(app, keys)

    @app.get("/openapi.json", include_in_schema=False)
    async def described() -> dict[str, Any]:
        return document

    return Guard(app, service, keys, known | {"/openapi.json"})


async def _refused(request: Request, error: Exception) -> Response:
    """The framework's own refusals: no such path, no such method."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    path = request.url.path
    text = {404: f"There is nothing at {path[:100]!r}.", 405: f"{path[:100]!r} takes no {request.method[:10]}."}
    message = text.get(error.status_code, str(error.detail))
    return answer(path, Failure(error.status_code, message, code, error.headers))


def openapi(app: FastAPI, keys: Keys) -> dict[str, Any]:
    """The OpenAPI document, with the errors that are given rather than the framework's."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= _ERROR_SCHEMAS
    if keys.wanted:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            if path in FREE:
                continue
            if keys.wanted and rule_of(method.upper(), path).scope is not None:
                operation["security"] = [{"key": []}]
            for status, text in ERRORS.items():
                operation["responses"].setdefault(str(status), _error(path, text))
    return document


def _error(path: str, text: str) -> dict[str, Any]:
    name = "CohereError" if path.startswith("/v2/") else "JinaError" if path.endswith("/rerank") else "Error"
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _of(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_STRING = {"type": "string"}
_ERROR_SCHEMAS = {
    "Error": _of({"error": _of({"message": _STRING, "type": _STRING, "param": {}, "code": _STRING})}),
    "CohereError": _of({"message": _STRING}),
    "JinaError": _of({"detail": _STRING}),
}
