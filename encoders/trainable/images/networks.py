"""A trained model of images and texts as two ONNX networks, compared with it: for `retr.encoders.images.encoder`.

Needs `retr[export]`.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from retr.encoders.images.networks import IMAGE, IMAGES_IN, NETWORK, TEXT, TEXTS_IN, VECTORS
from retr.encoders.running.session import open_session
from retr.encoders.trainable.backbone import BackboneSettings
from retr.encoders.trainable.images.opening import open_filip
from retr.encoders.trainable.images.student import ImageTextStudent
from retr.retrieval.errors import RetrError, missing_package

OPSET = 18
NEAR = 1e-4
"""How far a number of a unit vector may be from torch's."""


class ImageNetwork(torch.nn.Module):
    """[images, 3, height, width] to [images, patches, dim], or to [images, dim]."""

    def __init__(self, student: ImageTextStudent) -> None:
        super().__init__()
        self.module, self.tower, self.tokens = student.module, student.image, student.interaction == "tokens"

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        states = self.tower.patches(pixels) if self.tokens else self.tower.whole(pixels)
        return normalize(self.module.heads.image(states), dim=-1)


class TextNetwork(torch.nn.Module):
    """[texts, tokens], all of one length, to [texts, tokens, dim], or to [texts, dim]."""

    def __init__(self, student: ImageTextStudent) -> None:
        super().__init__()
        self.module, self.tower, self.tokens = student.module, student.text, student.interaction == "tokens"

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states = self.tower.backbone.model(input_ids=ids).last_hidden_state
        return normalize(
            self.module.heads.text(states if self.tokens else self.tower.pooled(states, states[:, -1])), dim=-1
        )


def write_networks(folder: Path, out: Path | None = None) -> dict[str, float]:
    """Write `image/onnx/model.onnx` and `text/onnx/model.onnx` of a folder that training wrote, into it or into `out`.

    What is given back is the largest difference of a number from torch's, of each; RetrError above 1e-4, and then
    neither file is there.
    """
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for="Writing ONNX networks", extra="export")
    out = folder if out is None else out
    student = open_filip(folder, running=BackboneSettings(attention="eager"))
    student.module.eval()
    rng = np.random.default_rng(0)
    height, width = student.image.pixels.height, student.image.pixels.width
    pixels = rng.normal(size=(3, 3, height, width)).astype(np.float32)
    words = int(student.text.backbone.model.config.vocab_size)
    ids = rng.integers(0, words, (3, student.text.backbone.max_tokens if student.text.filled else 7))
    sides: dict[str, tuple[torch.nn.Module, str, Any]] = {
        IMAGE: (ImageNetwork(student), IMAGES_IN, pixels),
        TEXT: (TextNetwork(student), TEXTS_IN, ids),
    }
    found = {}
    for side, (graph, name, example) in sides.items():
        free = {0: torch.export.Dim("rows", min=1)}
        if side == TEXT and not student.text.filled:
            free[1] = torch.export.Dim("tokens", min=2)
        found[side] = _write(graph, name, example, free, out / side / NETWORK)
    if max(found.values()) > NEAR:
        for side in sides:
            (out / side / NETWORK).unlink()
        raise RetrError(f"The networks of {folder} differ from torch by {found}, above {NEAR}. Use it by torch.")
    return found


def _write(graph: torch.nn.Module, name: str, example: Any, free: dict[int, Any], path: Path) -> float:
    path.parent.mkdir(exist_ok=True)
    with torch.no_grad(), _quietly():
        expected = graph(torch.from_numpy(example)).numpy()
        try:
            torch.onnx.export(
                graph,
                (torch.from_numpy(example[:2]),),
                str(path),
                dynamo=True,
                opset_version=OPSET,
                input_names=[name],
                output_names=[VECTORS],
                dynamic_shapes=(free,),
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # torch's exporter raises many kinds
            reason = " ".join(str(error).split())[:300]
            raise RetrError(f"torch cannot write {path} ({type(error).__name__}: {reason}). Use it by torch.") from None
    found = open_session(path).run(None, {name: example})[0]
    return float(np.abs(found - expected).max())


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """torch's exporter warns and prints about its own insides."""
    logging.disable(logging.WARNING)
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
