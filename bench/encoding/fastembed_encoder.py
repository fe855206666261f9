"""fastembed with a custom model: the ONNX file of a folder, mean pooling, unit length.

options  {"folder", and none or some of "batch", "threads", "presort": texts are given longest first}.
"""

from collections.abc import Sequence

import numpy as np
from encoding.protocol import Floats, Options, in_order

NAME = "local/all-MiniLM-L6-v2"
DIM = 384


class FastEmbed:
    """A model registered and loaded from a folder."""

    runtime = "onnxruntime"

    def __init__(self, options: Options) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        TextEmbedding.add_custom_model(
            model=NAME,
            pooling=PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf=NAME),
            dim=DIM,
            model_file="model.onnx",
        )
        self.model = TextEmbedding(NAME, threads=options.get("threads"), specific_model_path=options["folder"])
        self.settings = {"batch_size": options["batch"]} if "batch" in options else {}
        self.presort = options.get("presort", False)

    def encode(self, texts: Sequence[str]) -> Floats:
        """`embed`."""
        return in_order(self._encode, texts) if self.presort else self._encode(list(texts))

    def _encode(self, texts: list[str]) -> Floats:
        return np.stack(list(self.model.embed(texts, **self.settings))).astype(np.float32)

    def query(self, text: str) -> Floats:
        """`query_embed`."""
        return np.asarray(next(iter(self.model.query_embed(text))), np.float32)

    def close(self) -> None:
        """Nothing was started."""


def encoder(options: Options) -> FastEmbed:
    """Loaded."""
    return FastEmbed(options)
