"""Processes started by these tests import this checkout, installed or not."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def checkout_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put `src/` first on PYTHONPATH, which child processes inherit."""
    source = str(Path(__file__).parents[2] / "src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])))
