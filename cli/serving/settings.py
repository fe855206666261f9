"""What a server is told: which models and index, and its limits."""

from dataclasses import dataclass, field
from pathlib import Path

from retr.retrieval.errors import BadInput

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LEAST: dict[str, float] = {
    "port": 0,
    "workers": 1,
    "max_requests": 1,
    "max_body_bytes": 1024,
    "batch_tokens": 1,
    "waiting_tokens": 1,
    "search_threads": 1,
    "request_seconds": 0.001,
    "receive_seconds": 0.001,
    "refresh_seconds": 0.01,
    "write_wait_seconds": 0,
    "drain_wait_seconds": 0,
    "drain_seconds": 0,
}


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """One server.

    `index` is a folder, or the address of a store, which may hold a password and is told nobody. `matryoshka` are
    vector lengths that the encoder was trained for, beside those it knows of itself. `open_to_all` lets a server
    without keys listen beyond this machine; `writable` lets one without keys be written to. `max_requests` are answered
    at a time in one worker, further ones get 429. `request_seconds` is the longest that a request may take;
    `receive_seconds` the longest that its headers, and then its body, may take to arrive. On SIGTERM it says for
    `drain_wait_seconds` that it is not ready, then takes no more connections and gives requests `drain_seconds` to end.
    """

    index: Path | str | None = field(default=None, repr=False)
    encoder: str = ""
    rerank: str = ""
    device: str = ""
    names: tuple[str, ...] = ()
    matryoshka: tuple[int, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    keys: Path | None = None
    open_to_all: bool = False
    writable: bool = False
    judgements: Path | None = None
    batch_tokens: int = 4096
    waiting_tokens: int = 524_288
    search_threads: int = 2
    max_requests: int = 256
    max_body_bytes: int = 16 << 20
    request_seconds: float = 60.0
    receive_seconds: float = 10.0
    refresh_seconds: float = 1.0
    write_wait_seconds: float = 10.0
    drain_wait_seconds: float = 1.0
    drain_seconds: float = 20.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not least <= value < float("inf"):
                raise BadInput(f"{name} is {value}; it must be a number of at least {least}.")
        if self.port > 65_535:
            raise BadInput(f"port is {self.port}; ports go up to 65535.")
        if any(dim < 1 for dim in self.matryoshka):
            raise BadInput(f"matryoshka is {self.matryoshka}; each length is at least 1.")

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK
