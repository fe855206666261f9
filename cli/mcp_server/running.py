"""The two ways to speak with the server: standard input and output, and HTTP on this machine."""

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mcp.server import MCPServer
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from retr.cli.serving.keys import Keys

HOST = "127.0.0.1"
"""Nothing beyond this machine is listened to; a proxy with keys of its own can be put in front."""

DRAIN_SECONDS = 5

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


def over_stdio(server: MCPServer) -> None:
    """Answer until standard input ends. Nothing else may be printed on standard output."""
    server.run("stdio")


def over_http(server: MCPServer, port: int, keys: Keys, *, write: bool, started: Callable[[str], None]) -> None:
    """Answer at http://127.0.0.1:PORT/mcp until SIGTERM or SIGINT; `started` is told the address.

    OSError for a port that is taken.
    """
    from uvicorn import Config, Server

    app: App = server.streamable_http_app(host=HOST)
    with socket.create_server((HOST, port)) as listening:
        number = listening.getsockname()[1]
        started(f"http://{HOST}:{number}/mcp")
        config = Config(
            KeyNeeded(app, keys, write=write) if keys.wanted else app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        Server(config).run([listening])


class KeyNeeded:
    """ASGI middleware: lets callers in whose bearer key is known, and may write where the tools can."""

    def __init__(self, app: App, keys: Keys, *, write: bool) -> None:
        self._app, self._keys, self._write = app, keys, write

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401 or 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        allowed = self._keys.scope_of(key.strip() if kind.lower() == "bearer" else None)
        if allowed is None:
            refused = PlainTextResponse("A key is needed.", 401, {"WWW-Authenticate": "Bearer"})
            await refused(scope, receive, send)
        elif self._write and allowed != "write":
            await PlainTextResponse("This server writes; a key that may write is needed.", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
