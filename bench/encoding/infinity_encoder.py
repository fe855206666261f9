"""infinity's engine in this process, without its server.

options  {"model", and perhaps "batch"}.
"""

import asyncio
from collections.abc import Sequence

import numpy as np
from encoding.protocol import Floats, Options


class Infinity:
    """A started engine and the event loop that it lives in."""

    runtime = "torch, float32"

    def __init__(self, options: Options) -> None:
        from infinity_emb import AsyncEmbeddingEngine, EngineArgs

        settings = {"batch_size": options["batch"]} if "batch" in options else {}
        asked = EngineArgs(
            model_name_or_path=options["model"],
            engine="torch",
            device="cpu",
            dtype="float32",
            model_warmup=False,
            **settings,
        )
        self.engine = AsyncEmbeddingEngine.from_args(asked)
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self.engine.astart())

    def encode(self, texts: Sequence[str]) -> Floats:
        """All at once: the engine batches them, and sorts by length."""
        vectors, _ = self.loop.run_until_complete(self.engine.embed(sentences=list(texts)))
        return np.asarray(vectors, np.float32)

    def query(self, text: str) -> Floats:
        """One request."""
        return self.encode([text])[0]

    def close(self) -> None:
        """Stop the engine."""
        self.loop.run_until_complete(self.engine.astop())
        self.loop.close()


def encoder(options: Options) -> Infinity:
    """Loaded."""
    return Infinity(options)
