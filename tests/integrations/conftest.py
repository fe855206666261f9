"""What the tests of the bridges share: models as users bring them, and a network that answers to nobody."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest

MEMORY = "/dev/shm"
"""A file system in memory, on Linux."""


def pytest_configure(config: pytest.Config) -> None:
    """The frameworks' suites mark their asynchronous tests so."""
    config.addinivalue_line("markers", "asyncio: an asynchronous test of a framework's suite")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an asynchronous test. A plugin for this would ask every other test run for a setting of its own."""
    if not iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be: these suites make an index for every test, and none of them is about disks."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="retr-test-") as folder:
        yield Path(folder)


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `models_of_users`, importable by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return import_module("models_of_users")


@pytest.fixture(autouse=True)
def asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Every call for another machine; a test that makes one fails, even where the call's failure is swallowed."""
    calls: list[object] = []

    def refuse(*arguments: object, **_: object) -> Any:
        calls.append(arguments[-1])
        raise OSError("the network is off in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    yield calls
    assert calls == []


@pytest.fixture(autouse=True)
def temporary_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where temporary indexes are made in this test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder
