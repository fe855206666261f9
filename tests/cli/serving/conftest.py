"""Servers in this process over tiny models, and what to ask them with."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs retr[serve]")
pytest.importorskip("uvicorn", reason="needs retr[serve]")
pytest.importorskip("prometheus_client", reason="needs retr[serve]")

from tests.cli.test_search_late import here as late_indexes

import retr
from retr.cli.serving.keys import Keys, read_keys
from retr.cli.serving.settings import ServeSettings

__all__ = ["late_indexes"]

DOCUMENTS = [
    retr.Document("fish", "The red fish swims in cold water.", "Fish", {"year": 2020, "kind": "animal"}),
    retr.Document("stone", "A stone falls from the blue sky.", "Stone", {"year": 2021, "kind": "thing"}),
    retr.Document("water", "Cold water falls.", "", {"year": 2022, "kind": "thing"}),
]

MakeClient = Callable[..., Any]


@pytest.fixture(scope="session")
def models(make_bi: Any, make_cross: Any) -> dict[str, str]:
    """An encoder and a reranker."""
    return {"encoder": str(make_bi()), "rerank": f"cross={make_cross()}"}


@pytest.fixture(scope="session")
def first_index(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str]) -> Path:
    """A small index that nobody writes to."""
    folder = tmp_path_factory.mktemp("first") / "index"
    retr.create(folder, encoder=models["encoder"]).add(DOCUMENTS)
    return folder


@pytest.fixture
def index(tmp_path: Path, first_index: Path) -> Path:
    """The same, for one test alone."""
    shutil.copytree(first_index, tmp_path / "index")
    return tmp_path / "index"


def making(stack: ExitStack) -> MakeClient:
    """`make_client(keys=…, **settings)` to a client of a new server in this process, with its `service`."""
    from starlette.testclient import TestClient

    from retr.cli.serving.app import make_app
    from retr.cli.serving.service import Service

    def make(keys: Keys | None = None, **settings: Any) -> Any:
        service = Service(ServeSettings(**settings))
        default = "write" if service.settings.writable else "read"
        app = make_app(service, keys or read_keys(None, environment={}, default=default))
        client: Any = TestClient(app, base_url="http://localhost")
        client.service = service
        return stack.enter_context(client)

    return make


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    """Makes servers for one test."""
    with ExitStack() as stack:
        yield making(stack)


@pytest.fixture
def client(make_client: MakeClient, index: Path, models: dict[str, str]) -> Any:
    """A writable server with index, encoder and reranker."""
    return make_client(index=index, rerank=models["rerank"], writable=True)


@pytest.fixture(scope="module")
def reader(first_index: Path, models: dict[str, str]) -> Iterator[Any]:
    """A server with index, encoder and reranker that tests may share."""
    with ExitStack() as stack:
        yield making(stack)(index=first_index, rerank=models["rerank"])


@pytest.fixture(autouse=True)
def _few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETR_THREADS", os.environ.get("RETR_THREADS", "1"))


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    """The command sends its log to standard error, for good; the next test's does as it did."""
    loggers = [logging.getLogger(name) for name in ("retr.serve", "uvicorn.error")]
    before = [(list(one.handlers), one.propagate, one.level) for one in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
