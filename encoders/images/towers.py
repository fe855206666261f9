"""The two networks of a model of images and texts: as ONNX files, each opened when it is first needed, or by torch."""

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from retr.encoders.images.networks import HEADS, IMAGE, IMAGES_IN, NETWORK, TEXT, TEXTS_IN
from retr.encoders.reading.safetensors_file import weight_files
from retr.encoders.running.session import Ids, open_session
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import NotFound, missing_package


class Towers(Protocol):
    """What makes vectors of pixels and of token numbers, of unit length and in one space."""

    @property
    def runtime(self) -> str:
        """What runs them."""
        ...

    def images(self, pixels: Floats) -> Floats:
        """float32 [images, 3, height, width] to [images, patches, dim], or to [images, dim]."""
        ...

    def texts(self, ids: Ids) -> Floats:
        """int64 [texts, tokens], all of one length, to [texts, tokens, dim], or to [texts, dim]."""
        ...


class OnnxTowers:
    """The networks that `retr export` writes. A question in words opens one of them alone."""

    runtime = "onnxruntime"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def images(self, pixels: Floats) -> Floats:
        """As `Towers.images`."""
        found: Floats = self._image.run(None, {IMAGES_IN: pixels})[0]
        return found

    def texts(self, ids: Ids) -> Floats:
        """As `Towers.texts`."""
        found: Floats = self._text.run(None, {TEXTS_IN: ids})[0]
        return found

    @cached_property
    def _image(self) -> Any:
        return open_session(self._folder / IMAGE / NETWORK)

    @cached_property
    def _text(self) -> Any:
        return open_session(self._folder / TEXT / NETWORK)


def open_towers(folder: Path, *, by_torch: bool = False) -> tuple[Towers, list[Path]]:
    """The towers of a folder, and the files that their vectors depend on: ONNX where both are there, else by torch."""
    networks = [folder / side / NETWORK for side in (IMAGE, TEXT)]
    if not by_torch and all(file.is_file() for file in networks):
        return OnnxTowers(folder), networks
    sides = [weight_files(folder / side) for side in (IMAGE, TEXT)]
    if not all(sides) or not (folder / HEADS).is_file():
        gone = next(file for file in networks if not file.is_file())
        raise NotFound(f"{gone} is missing, and so are weights to read in its place. Get the folder again.")
    if find_spec("torch") is None or find_spec("transformers") is None:
        needed = f"Reading {folder} without the ONNX networks that `retr export` writes"
        raise missing_package("torch", needed_for=needed, extra="train")
    from retr.encoders.images.by_torch import TorchTowers

    return TorchTowers(folder), [*sides[0], *sides[1], folder / HEADS]
