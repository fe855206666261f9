"""An encoder whose documents are encoded by a pool's workers; for `retr index`, which cuts and commits here."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from retr.encoders.jobs.pool import Call, Pool
from retr.encoders.running.pipeline import WindowSettings, windows
from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import Mismatch
from retr.retrieval.protocols import Encoder, Similarity

CUT_BY = ("max_tokens", "tokenizer")
"""What `protocols.TokenAware` encoders have."""


class JobEncoder:
    """An encoder and the workers that use the same: documents go to them in windows, queries are encoded here."""

    def __init__(self, encoder: Encoder, pool: Pool, window: WindowSettings | None = None) -> None:
        self._encoder, self._pool, self._window = encoder, pool, window or WindowSettings(texts=512)
        if pool.hello().fingerprint != encoder.fingerprint:
            raise Mismatch(
                f"The workers' encoder has the fingerprint {pool.hello().fingerprint[:12]}, the one here "
                f"{encoder.fingerprint[:12]}. Put the same files on every machine."
            )

    def __getattr__(self, name: str) -> Any:
        """What passages are cut by, where the encoder has it."""
        if name not in CUT_BY:
            raise AttributeError(name)
        return getattr(self._encoder, name)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._encoder.dim

    @property
    def similarity(self) -> Similarity:
        """How two embeddings are compared."""
        return self._encoder.similarity

    @property
    def fingerprint(self) -> str:
        """That of the encoder."""
        return self._encoder.fingerprint

    @property
    def passages(self) -> int:
        """Texts of one call that keep all workers at work."""
        return self._window.texts * self._pool.size * 4

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """One embedding a text, in order, made here."""
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        """One embedding a text, in order, made by the workers."""
        if not texts:
            return self._encoder.encode_documents(texts)
        calls = (Call(None, "embed", (window, "documents")) for window in windows(texts, self._window))
        with closing(self._pool.run(calls)) as answers:
            return joined([answer for _, answer in answers])


def joined(parts: Sequence[Embeddings]) -> Embeddings:
    """Embeddings of texts that follow one another, as one; at least one part, all of one kind."""
    values = np.concatenate([part.values for part in parts])
    tokens = [part for part in parts if isinstance(part, TokenVectors)]
    if not tokens:
        return Vectors(values)
    lengths = np.concatenate([np.diff(part.offsets) for part in tokens])
    return TokenVectors(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
