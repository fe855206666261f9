"""What the tests of model folders share."""

import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def folder(make_bi: Any, tmp_path: Path) -> Path:
    """A good folder that the test may break."""
    return Path(shutil.copytree(make_bi(seed=1), tmp_path / "model"))
