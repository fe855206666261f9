"""What the tests of the bridges share: models as users bring them, and a network that answers to nobody."""

import socket
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest


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
