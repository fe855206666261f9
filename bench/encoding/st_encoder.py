"""sentence-transformers, with its defaults or with settings.

options  {"model", and none or some of "dtype": "bfloat16", "threads": torch's, "batch": texts in a batch,
"processes": more than one is its own multi-process pool, of `threads` each, "presort": texts are given longest first}.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from encoding.protocol import Floats, Options, in_order


class SentenceTransformers:
    """One model, and a pool of processes over it if that is asked for."""

    def __init__(self, options: Options) -> None:
        if "threads" in options:  # before torch is imported, and for the processes of the pool
            os.environ["OMP_NUM_THREADS"] = str(options["threads"])
        import torch
        from sentence_transformers import SentenceTransformer

        settings: dict[str, Any] = {}
        if "dtype" in options:
            settings["model_kwargs"] = {"dtype": getattr(torch, options["dtype"])}
        self.model = SentenceTransformer(options["model"], device="cpu", **settings)
        self.runtime = f"torch, {str(next(self.model.parameters()).dtype).removeprefix('torch.')}"
        self.settings = {"batch_size": options["batch"]} if "batch" in options else {}
        self.presort = options.get("presort", False)
        processes = options.get("processes", 1)
        self.pool = self.model.start_multi_process_pool(["cpu"] * processes) if processes > 1 else None

    def encode(self, texts: Sequence[str]) -> Floats:
        """`encode`, in the pool if there is one."""
        return in_order(self._encode, texts) if self.presort else self._encode(list(texts))

    def _encode(self, texts: list[str]) -> Floats:
        if self.pool is None:
            vectors = self.model.encode(texts, **self.settings)
        else:
            vectors = self.model.encode(texts, pool=self.pool, **self.settings)
        return np.asarray(vectors, np.float32)

    def query(self, text: str) -> Floats:
        """A list of one; the pool would only be slower."""
        return np.asarray(self.model.encode([text])[0], np.float32)

    def close(self) -> None:
        """End the pool."""
        if self.pool is not None:
            self.model.stop_multi_process_pool(self.pool)


def encoder(options: Options) -> SentenceTransformers:
    """Loaded."""
    return SentenceTransformers(options)
