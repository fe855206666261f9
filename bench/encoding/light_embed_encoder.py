"""light-embed over the ONNX file of a folder.

options  {"folder", and perhaps "batch"}. It has no setting for threads.
"""

from collections.abc import Sequence

import numpy as np
from encoding.protocol import Floats, Options


class LightEmbed:
    """A model loaded from a folder."""

    runtime = "onnxruntime"

    def __init__(self, options: Options) -> None:
        from light_embed import TextEmbedding

        config = {"onnx_file": "model.onnx", "pooling_mode": "mean", "normalize": True}
        self.model = TextEmbedding(options["folder"], device="cpu", model_config=config)
        self.settings = {"batch_size": options["batch"]} if "batch" in options else {}

    def encode(self, texts: Sequence[str]) -> Floats:
        """`encode`."""
        return np.asarray(self.model.encode(list(texts), **self.settings), np.float32)

    def query(self, text: str) -> Floats:
        """A list of one."""
        return np.asarray(self.model.encode([text])[0], np.float32)

    def close(self) -> None:
        """Nothing was started."""


def encoder(options: Options) -> LightEmbed:
    """Loaded."""
    return LightEmbed(options)
