"""From what went wrong to a status, and to a body in the shape of the API that was called."""

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from retr.cli.failures import explain
from retr.encoders.batching.batcher import Closed, Full
from retr.index.disk.lock import Busy
from retr.index.stores import Forbidden, Unreachable
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound, RetrError

log = logging.getLogger("retr.serve")

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""OpenAI's `type` by status; other 4xx are invalid_request_error, 5xx server_error."""


class Failure(Exception):
    """An answer that is not the one asked for. `code` is a word for programs."""

    def __init__(
        self, status: int, message: str, code: str = "invalid_request", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = dict(headers or {})


def failure_of(error: BaseException) -> Failure:
    """What a caller is told of an exception; a defect of ours is logged and told as such, without its text."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, Full):
        return Failure(429, str(error), "queue_full", {"Retry-After": str(error.retry_seconds)})
    if isinstance(error, Closed):
        return Failure(503, _one_line(error), "shutting_down", {"Retry-After": "1"})
    if isinstance(error, Busy):  # its own words tell of paths and processes here
        return Failure(503, "Another process is writing the index. Try again.", "busy", {"Retry-After": "1"})
    if isinstance(error, Unreachable):
        log.error("a request failed: %s", _one_line(error))
        return Failure(503, "The index cannot be reached now. Try again.", "unreachable", {"Retry-After": "1"})
    if isinstance(error, Forbidden):
        log.error("a request failed: %s", _one_line(error))
        return Failure(403, "The index does not let this server do that.", "forbidden")
    if isinstance(error, RetrError) and not isinstance(error, Damaged):
        return Failure(*_of_kind(error))
    told = explain(error) if isinstance(error, Exception) else None
    log.error("a request failed: %s", told or "a defect", exc_info=None if told else error)
    return Failure(500, "The server failed here; its log says how.", "internal_error")


def _of_kind(error: RetrError) -> tuple[int, str, str]:
    kinds: tuple[tuple[type[RetrError], int, str], ...] = (
        (BadInput, 400, "invalid_request"),
        (NotFound, 404, "not_found"),
        (Mismatch, 409, "mismatch"),
    )
    status, code = next(((s, code) for kind, s, code in kinds if isinstance(error, kind)), (400, "invalid_request"))
    return status, _one_line(error), code


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def answer(path: str, failure: Failure) -> Response:
    """The failure as the API that `path` belongs to words it."""
    status, message = failure.status, failure.message.encode("utf-8", "replace").decode()
    body: dict[str, Any]
    if path.startswith("/v2/"):
        body = {"message": message}
    elif path in ("/v1/rerank", "/rerank"):
        body = {"detail": message}
    else:
        kind = TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        body = {"error": {"message": message, "type": kind, "param": None, "code": failure.code}}
    return Response(orjson.dumps(body), status, dict(failure.headers), "application/json")


def refused_token_ids() -> Failure:
    """What a caller is told who sends token numbers: they are another model's."""
    return Failure(
        400,
        "The input is a list of token numbers, which are those of another model's tokenizer. Send strings; with "
        "LangChain's OpenAIEmbeddings, set check_embedding_ctx_length=False.",
        "token_input",
    )
