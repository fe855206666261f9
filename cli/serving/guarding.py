"""Before and around every request: who asks, whether there is room, how much it sends and how long it takes.

Refusals come before the body is read, since a server that is too busy to answer has no time to read either. The body is
then read whole, within its limits, so that a caller who goes away while waiting is noticed and its work is dropped.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers

from retr.cli.serving.failures import Failure, answer, failure_of
from retr.cli.serving.keys import Keys, Scope
from retr.cli.serving.service import Service
from retr.cli.serving.settings import LOOPBACK

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

FREE = frozenset({"/health", "/ready"})
"""Answered to everyone, however busy: probes have no keys."""

OPEN_PREFIXES = ("/page/",)
OPEN = frozenset({"/", "/favicon.ico", "/openapi.json"})
"""Read without a key: they hold nothing of the index."""

WRITES = frozenset({"/v1/documents", "/v1/documents/delete", "/v1/judgements"})


@dataclass(frozen=True, slots=True)
class Rule:
    """What a request needs: a scope, or None."""

    scope: Scope | None


def rule_of(method: str, path: str) -> Rule:
    """The scope that a method and path need."""
    if path in FREE or path in OPEN or path.startswith(OPEN_PREFIXES):
        return Rule(None)
    return Rule("write" if path in WRITES and method not in ("GET", "HEAD") else "read")


class Guard:
    """ASGI middleware, the outermost. `known` are the paths that there are, so that counts have no others as labels."""

    def __init__(self, app: App, service: Service, keys: Keys, known: frozenset[str]) -> None:
        self._app, self._service, self._keys, self._known = app, service, keys, known
        self._in_flight = 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is not HTTP."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, seen = time.perf_counter(), _Seen(send, self._service)
        self._in_flight += 1
        metrics, path = self._service.metrics, scope["path"]
        label = path if path in self._known else "other"
        metrics.in_flight.set(self._in_flight)
        try:
            await self._answered(scope, receive, seen)
        finally:
            self._in_flight -= 1
            metrics.in_flight.set(self._in_flight)
            metrics.requests.labels(label, _method(scope["method"]), str(seen.status)).inc()
            metrics.seconds.labels(label).observe(time.perf_counter() - started)

    async def _answered(self, scope: Any, receive: Receive, seen: "_Seen") -> None:
        try:
            self._admit(scope)
            body = await self._body(scope, receive)
            await self._within_time(scope, body, receive, seen)
        except _Gone:
            return
        except Exception as error:
            failure = failure_of(error)
            if failure.status in (401, 403, 413, 421, 429):
                self._service.metrics.refused.labels(failure.code).inc()
            if seen.status:  # half an answer is on its way: breaking off is all that is left
                raise
            await answer(scope["path"], failure)(scope, receive, seen)

    def _admit(self, scope: Any) -> None:
        """A Failure for who may not ask, for what is too large by its own word, and when there is no room."""
        path, headers = scope["path"], Headers(scope=scope)
        if path in FREE:
            return
        self._check_host(headers)
        needed = rule_of(scope["method"], path).scope
        if needed is not None:
            scope["retr.scope"] = self._check_key(headers, needed)
        settings = self._service.settings
        if self._in_flight > settings.max_requests:
            raise Failure(
                429,
                f"{settings.max_requests} requests are being answered, which is the most. Try again.",
                "too_many_requests",
                {"Retry-After": "1", "Connection": "close"},
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > settings.max_body_bytes:
            raise _too_large(settings.max_body_bytes)

    def _check_host(self, headers: Headers) -> None:
        """Without keys, the server answers to names of this machine alone: a web page elsewhere must not reach it
        by a name that it made point here."""
        if self._keys.wanted or not self._service.settings.on_loopback:
            return
        host = headers.get("host", "")
        name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
        if name.lower() not in LOOPBACK:
            raise Failure(421, "This server answers to localhost alone. Give it keys to serve other names.", "host")

    def _check_key(self, headers: Headers, needed: Scope) -> Scope:
        kind, _, key = headers.get("authorization", "").partition(" ")
        scope = self._keys.scope_of(key.strip() if kind.lower() == "bearer" else None)
        if scope is None:
            text = "The API key is missing or wrong. Send the header `Authorization: Bearer KEY`."
            raise Failure(401, text, "invalid_api_key", {"WWW-Authenticate": "Bearer"})
        if needed == "write" and scope != "write":
            text = (
                "This key may only read. Take one with the scope write."
                if self._keys.wanted
                else "This server is read-only. Start it with --writable, or with --keys and a key of the scope write."
            )
            raise Failure(403, text, "read_only")
        return scope

    async def _body(self, scope: Any, receive: Receive) -> bytes:
        """The whole body; a Failure when it is too large or too slow."""
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return b""
        settings, parts, size = self._service.settings, [], 0
        try:
            async with asyncio.timeout(settings.receive_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    part = message.get("body", b"")
                    size += len(part)
                    if size > settings.max_body_bytes:
                        raise _too_large(settings.max_body_bytes)
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            text = f"The body did not arrive within {settings.receive_seconds:g} s."
            raise Failure(408, text, "slow_body", {"Connection": "close"}) from None

    async def _within_time(self, scope: Any, body: bytes, receive: Receive, seen: "_Seen") -> None:
        """Run the application until it has answered, the time is up, or the caller is gone."""
        seconds = self._service.settings.request_seconds
        work = asyncio.ensure_future(self._app(scope, _replay(body), seen))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            done, _ = await asyncio.wait((work, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work in done:
                work.result()
                return
            if gone in done:
                raise _Gone
            text = f"The answer took longer than {seconds:g} s."
            raise Failure(503, text, "timeout", {"Retry-After": "1"})
        finally:
            for task in (work, gone):
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await task


class _Gone(Exception):
    """The caller went away; nobody reads an answer."""


class _Seen:
    """`send`, remembering the status, and telling callers to come back by a new connection while draining."""

    def __init__(self, send: Send, service: Service) -> None:
        self._send, self._service = send, service
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._service.draining:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await self._send(message)


def _replay(body: bytes) -> Receive:
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()  # the application is cancelled when the caller goes away
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_large(most: int) -> Failure:
    text = f"The body is larger than {most} bytes. Send less at a time."
    return Failure(413, text, "too_large", {"Connection": "close"})


def _method(name: str) -> str:
    return name if name in ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH") else "other"
