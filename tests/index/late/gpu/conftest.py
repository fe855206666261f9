"""torch's CPU in the place of a GPU, with the same tensors and operations; and the same tests on a real one."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest

from retr.index.dense.gpu import Device
from retr.index.late.codec import Codec
from retr.index.late.gpu import memory, placing
from retr.index.late.part import LatePart
from retr.index.late.settings import LateSettings
from retr.index.late.training import train_codec

from ..conftest import World, ragged, take, tokens_of_words, write

ONE = Device((0,))
BITS = (8, 80, 4, 2)
"""80 stands for 8 bits with centroids."""

Parts = Callable[[int], LatePart]


class Card:
    """A GPU, or what stands in for it: `free` bytes a GPU, and whether its next search fails."""

    def __init__(self, torch: Any, kind: str) -> None:
        self.torch, self.kind = torch, kind
        self.free: dict[int, int] = {}
        self.asked: list[int] = []

    def device_of(self, gpu: int) -> Any:
        self.asked.append(gpu)
        return self.torch.device("cpu")

    def free_bytes(self, device: Any) -> int | None:
        return self.free.get(self.asked[-1])


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Card:
    """As many GPUs as one likes, which are torch's CPU."""
    card = Card(pytest.importorskip("torch"), "cpu")
    monkeypatch.setattr(placing, "obstacle", lambda gpus: "")
    monkeypatch.setattr(placing, "device_of", card.device_of)
    monkeypatch.setattr(placing, "_placed", WeakKeyDictionary())
    for module in (placing, memory):
        monkeypatch.setattr(module, "free_bytes", card.free_bytes)
    return card


@pytest.fixture(params=["stand-in", pytest.param("cuda", marks=pytest.mark.gpu)])
def card(request: pytest.FixtureRequest) -> Card:
    """GPU 0: torch's CPU in its place, and again the real one."""
    if request.param == "stand-in":
        found: Card = request.getfixturevalue("stand_in")
        return found
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    return Card(torch, "cuda")


@pytest.fixture(scope="session")
def small() -> World:
    """Documents of 8 to about 60 tokens, thirty of one; queries of 12 to 32 tokens; 32 numbers a token."""
    world = tokens_of_words(150, queries=12, dim=32)
    single = [tokens[:1] for tokens in take(world.documents, list(range(30)))]
    documents = ragged([*world.documents, *single])
    queries = ragged([tokens[: 32 - 5 * (n % 5)] for n, tokens in enumerate(world.queries)])
    return World(documents, queries, np.empty((0, 0)))


@pytest.fixture(scope="session")
def coded(small: World) -> dict[int, Codec]:
    """Codecs by bits."""
    tokens = len(small.documents.values)
    wanted = {8: LateSettings(bits=8), 80: LateSettings(bits=8, centroids=64, rounds=2)}
    wanted |= {bits: LateSettings(bits=bits, centroids=64, rounds=2) for bits in (4, 2)}
    return {bits: train_codec(small.documents.values, tokens, settings) for bits, settings in wanted.items()}


@pytest.fixture(scope="session")
def whole(small: World, coded: dict[int, Codec], tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """All documents as one part of some bits."""
    made: dict[int, LatePart] = {}

    def of(bits: int) -> LatePart:
        if bits not in made:
            made[bits] = write(tmp_path_factory.mktemp("whole") / str(bits), small.documents, coded[bits])
        return made[bits]

    return of


def cut(world: World, codec: Codec, folder: Path, *cuts: int) -> list[LatePart]:
    """Some documents in several parts."""
    spans = pairwise(cuts)
    return [write(folder / str(first), take(world.documents, list(range(first, last))), codec) for first, last in spans]
