"""Tiny MVP rerankers in folders: as training writes them, and in the published checkpoints' layout."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retr.encoders.reading.safetensors_file import read_safetensors, write_safetensors

MakeFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def make_mvp(make_t5: MakeFolder) -> MakeFolder:
    """`make_mvp(seed=…, gated=…, views=…)` to a folder as training writes it."""

    def make(*, seed: int = 0, gated: bool = False, **settings: Any) -> Path:
        folder = make_t5(seed=seed, gated=gated)
        told = {"kind": "mvp", "views": 4, "max_tokens": 40, **settings}
        (folder / "retr.json").write_text(json.dumps({"mvp": told}))
        return folder

    return make


@pytest.fixture(scope="session")
def make_published(make_t5: MakeFolder) -> MakeFolder:
    """`make_published(seed=…)` to the same weights as `make_t5`, under the names of two wrappers, and no retr.json."""

    def make(*, seed: int = 0) -> Path:
        folder = make_t5(seed=seed)
        tensors = read_safetensors([folder / "model.safetensors"])
        renamed = {wrapped(name): values.copy() for name, values in tensors.items()}
        (folder / "model.safetensors").unlink()
        write_safetensors(folder / "model.safetensors", renamed)
        return folder

    return make


def wrapped(name: str) -> str:
    """A T5's name of a weight as the published checkpoints have it."""
    if not name.startswith("encoder."):
        return name
    return "encoder." + re.sub(r"^(encoder\.block\.\d+)\.", r"\1.module.", name)
