"""The two networks of a model of images and texts by torch, for a folder that was trained and not exported."""

from pathlib import Path

import torch

from retr.encoders.on_torch.threads import one_thread
from retr.encoders.running.session import Ids
from retr.encoders.trainable.images.networks import ImageNetwork, TextNetwork
from retr.encoders.trainable.images.opening import open_filip
from retr.retrieval.embeddings import Floats


class TorchTowers:
    """As `retr.encoders.images.towers.Towers` has them."""

    runtime = "torch"

    def __init__(self, folder: Path) -> None:
        student = open_filip(folder)
        student.module.eval()
        self._images, self._texts = ImageNetwork(student), TextNetwork(student)

    def images(self, pixels: Floats) -> Floats:
        """float32 [images, 3, height, width] to [images, patches, dim], or to [images, dim]."""
        with torch.inference_mode(), one_thread():
            found: Floats = self._images(torch.from_numpy(pixels)).numpy()
        return found

    def texts(self, ids: Ids) -> Floats:
        """int64 [texts, tokens], all of one length, to [texts, tokens, dim], or to [texts, dim]."""
        with torch.inference_mode(), one_thread():
            found: Floats = self._texts(torch.from_numpy(ids)).numpy()
        return found
