"""A tiny model of images and texts with random weights, and a folder of a few small images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("PIL")

CAPTIONS = ["a red circle", "a large blue square and a small star", "green"]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images 0.png to 5.png of noise, 24 x 24."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder of retr's own layout."""
    from retr.encoders.trainable.images.making import TowerSizes, make_model

    folder = tmp_path_factory.mktemp("filip") / "model"
    make_model(folder, CAPTIONS, TowerSizes(image=24, patch=8, width=16, layers=1, heads=2, dim=8, tokens=24))
    return folder


@pytest.fixture(scope="session")
def make_tokens() -> Callable[..., Any]:
    """`make_tokens(rng, lengths, dim=…, dtype=…)` to random vectors, of which so many a row count."""
    import torch

    from retr.encoders.trainable.maxsim import TokenTensors

    def make(rng: np.random.Generator, lengths: list[int], dim: int = 5, dtype: Any = torch.float64) -> TokenTensors:
        width = max(lengths)
        kept = torch.tensor([[at < length for at in range(width)] for length in lengths])
        return TokenTensors(torch.tensor(rng.normal(size=(len(lengths), width, dim)), dtype=dtype), kept)

    return make
