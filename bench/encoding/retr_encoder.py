"""retr through its Python API.

options  {"spec": what load_encoder understands}; none: the model that retr installs with.
"""

from collections.abc import Sequence
from typing import Any

from encoding.protocol import Floats, Options


class Retr:
    """One encoder of retr's."""

    def __init__(self, options: Options) -> None:
        from retr.encoders import load_encoder

        self.model: Any = load_encoder(options["spec"]) if "spec" in options else load_encoder()
        self.runtime = str(self.model.describe()["runtime"])

    def encode(self, texts: Sequence[str]) -> Floats:
        """As documents."""
        vectors: Floats = self.model.encode_documents(texts).values
        return vectors

    def query(self, text: str) -> Floats:
        """As a query."""
        vector: Floats = self.model.encode_queries([text]).values[0]
        return vector

    def close(self) -> None:
        """Nothing was started."""


def encoder(options: Options) -> Retr:
    """Loaded."""
    return Retr(options)
