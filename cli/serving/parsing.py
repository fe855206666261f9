"""Bodies as JSON, read strictly: what is not JSON by its standard is the caller's error, never ours."""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.exceptions import HTTPException
from starlette.responses import Response

from retr.cli.serving.failures import Failure, answer, failure_of
from retr.cli.serving.service import Service

LONGEST_MESSAGE = 300

Text = Annotated[str, StringConstraints(min_length=1)]


class Asked(BaseModel):
    """A request's body. Fields that it does not know are let pass, as other servers of these APIs do."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class OwnAsked(Asked):
    """A request's body of an API of ours, where a field that it does not know is a slip of the pen, and an error."""

    model_config = ConfigDict(extra="forbid")


class Told(BaseModel):
    """An answer, for the OpenAPI document; answers are written without it."""

    model_config = ConfigDict(protected_namespaces=())


class _StrictRequest(Request):
    async def json(self) -> Any:
        """The body, read by orjson: no NaN, no lone surrogates, no invalid UTF-8, no nesting without end."""
        return orjson.loads(await self.body())


class StrictRoute(APIRoute):
    """A route whose body is JSON by the standard, and whose failures are worded as its API does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given a strict request."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(_StrictRequest(request.scope, request.receive))
            except HTTPException:
                raise
            except RequestValidationError as error:
                return answer(request.url.path, of_validation(error))
            except Exception as error:
                return answer(request.url.path, failure_of(error))

        return handler


def router(tag: str) -> APIRouter:
    """A router of strict routes."""
    return APIRouter(route_class=StrictRoute, tags=[tag])


def service_of(request: Request) -> Service:
    """What the worker holds."""
    service: Service = request.app.state.service
    return service


def reply(value: object) -> Response:
    """A value as JSON; numpy arrays become lists."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # metadata that an index holds and orjson does not write: integers over 64 bits, deep nesting
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, media_type="application/json")


def of_validation(error: RequestValidationError) -> Failure:
    """What is wrong with a body, in one line: where, and why. Values are left out, for they may be long or secret."""
    found: list[Any] = list(error.errors())
    for one in found:
        if one["type"] == "extra_forbidden":
            text = f"There is no field {str(one['loc'][-1])[:40]!r} here. /openapi.json tells which there are."
            return Failure(400, text, "invalid_request")
    same_field = len({one["loc"][:2] for one in found}) == 1
    first = found[-1] if same_field else found[0]  # of a choice of types, the last is the one meant more often
    if first["type"] == "json_invalid":
        return Failure(400, f"The body is not JSON: {first['ctx']['error']}.", "invalid_json")
    where = ".".join(str(part) for part in first["loc"][1:] if not _is_type(part)) or str(first["loc"][0])
    why = str(first["msg"]).removeprefix("Value error, ")
    if first["loc"] == ("body",) and first["type"] in ("missing", "model_attributes_type", "dict_type"):
        why = "a JSON object is needed, with the header `Content-Type: application/json`"
    more = "" if same_field else f" ({len(found) - 1} more)"
    return Failure(400, f"{where}: {why.rstrip('.')}{more}."[:LONGEST_MESSAGE], "invalid_request")


def _is_type(part: object) -> bool:
    """Whether a part of an error's place names a type of a choice, not a field."""
    return isinstance(part, str) and (part in ("str", "list", "TextObject") or any(sign in part for sign in "-[("))
