"""One worker: uvicorn around the application, with a deadline for slow headers and an end that loses no request.

On SIGTERM the worker says that it is not ready and goes on answering, each answer closing its connection, for
`drain_wait_seconds`. Then it listens no more, waits for what is on its way, and finishes it.
"""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from retr.cli.serving.app import make_app
from retr.cli.serving.keys import Keys
from retr.cli.serving.service import Service
from retr.cli.serving.settings import ServeSettings

KEEP_ALIVE_SECONDS = 30
ARRIVING_SECONDS = 0.5
"""How long new connections are waited for to send their request, once no more are taken."""

CONNECTIONS_A_REQUEST = 8
_TICK = 0.02
_LEAST_CONNECTIONS = 1024


def listening_socket(settings: ServeSettings) -> socket.socket:
    """A socket bound to host and port; OSError where that cannot be."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it, each answer waits 40 ms.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((settings.host, settings.port))
        found.set_inheritable(True)
    except BaseException:
        found.close()
        raise
    return found


def serve(service: Service, keys: Keys, listening: socket.socket, *, started: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or SIGINT; `started` is called once the socket listens."""
    settings = service.settings
    config = Config(
        make_app(service, keys),
        http=protocol(settings.receive_seconds),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        limit_concurrency=max(_LEAST_CONNECTIONS, CONNECTIONS_A_REQUEST * settings.max_requests),
    )
    GracefulServer(config, service, started).run([listening])


class GracefulServer(Server):
    """uvicorn's server with the ending described above; a second Ctrl-C breaks off."""

    def __init__(self, config: Config, service: Service, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._tell_started = service, started

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """End in good order on SIGTERM and SIGINT, with exit code 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain."""
        self._service.draining = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        if self.started:
            self._tell_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that nothing more is wanted, take what is on its way, finish it."""
        self._service.draining = True
        await self._until(lambda: False, self._service.settings.drain_wait_seconds)
        for server in self.servers:
            server.close()
        connections: Any = self.server_state.connections
        await self._until(lambda: all(one.cycle is not None for one in connections), ARRIVING_SECONDS)
        await super().shutdown(sockets)

    async def _until(self, done: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not done() and not self.force_exit and time.monotonic() < end:
            await asyncio.sleep(_TICK)


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which closes a connection whose headers take longer than `receive_seconds`."""

    receive_seconds: ClassVar[float]
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect headers."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Expect the rest of the headers, where a request begins."""
        if self._late is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_headers()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The deadline is kept."""
        self._rest()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._rest()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._late = self.loop.call_later(self.receive_seconds, self.transport.close)

    def _rest(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def protocol(receive_seconds: float) -> type[DeadlineProtocol]:
    """The protocol with that deadline."""
    return type("Protocol", (DeadlineProtocol,), {"receive_seconds": receive_seconds})
