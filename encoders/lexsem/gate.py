"""The weights of a vector's numbers, from a query's words, without torch: the twin of `trainable.lexsem.Gate`."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np

from retr.encoders.lexsem.settings import LexSemSettings
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged

NORM_EPSILON = 1e-5
OF_WORDS = {
    "statistical": ("alpha",),
    "learned": ("direction",),
    "contextual": ("head.dense.weight", "head.dense.bias", "head.norm.weight", "head.norm.bias", "head.bias"),
}
"""What each source of weights has beside `weight` [words, dim] and `bias` [dim]."""


@dataclass(frozen=True, slots=True, eq=False)
class WordGate:
    """`parts` by their names in the file; `words` are the encoder's own vectors of words, for `contextual` alone."""

    settings: LexSemSettings
    parts: Mapping[str, Floats]
    left_out: frozenset[int]
    words: Floats | None = None

    def __post_init__(self) -> None:
        wanted = {"weight", "bias", *OF_WORDS[self.settings.words]}
        if set(self.parts) != wanted:
            raise Damaged(f"The lexsem weights are {sorted(self.parts)}, not {sorted(wanted)}. Get the folder again.")

    def __call__(self, vectors: Floats, ids: Ids, states: Floats) -> Floats:
        """[texts, dim], each as long as it was, of vectors [texts, dim], tokens [texts, tokens] and their states."""
        shares = self.shares(ids, states)
        mixed = shares * vectors
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(
            mixed * (lengths / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)), np.float32
        )

    def shares(self, ids: Ids, states: Floats) -> Floats:
        """float32 [texts, dim]: a softmax over the vector's numbers."""
        if self.settings.words == "contextual":
            logits = self._said(states[:, 0]) @ self.parts["weight"]
        else:
            logits = np.stack([self._found(row, of) for row, of in zip(ids, states, strict=True)])
        logits = logits + self.parts["bias"]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    def _found(self, ids: Ids, states: Floats) -> Floats:
        """[dim] of one text: the rows of its words, each taken once."""
        words = np.array(sorted(set(ids.tolist()) - self.left_out), np.int64)
        if self.settings.words == "statistical":
            return np.asarray(self.parts["weight"][words].sum(axis=0) * self.parts["alpha"], np.float32)
        said = np.maximum(states @ self.parts["direction"], 0)
        most = np.array([said[ids == word].max() for word in words], np.float32)
        return most @ self.parts["weight"][words]

    def _said(self, first: Floats) -> Floats:
        """[texts, words]: log(1 + what the model says of each word, where that is above zero)."""
        assert self.words is not None, "contextual weights need the vectors of words"
        parts = self.parts
        wide = first @ parts["head.dense.weight"].T + parts["head.dense.bias"]
        wide = wide * (0.5 * (1 + np.array([[erf(x / sqrt(2)) for x in row] for row in wide.tolist()], np.float32)))
        centred = wide - wide.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + NORM_EPSILON)
        normed = centred / spread * parts["head.norm.weight"] + parts["head.norm.bias"]
        said = np.log1p(np.maximum(normed @ self.words.T + parts["head.bias"], 0))
        said[:, sorted(self.left_out)] = 0
        return np.asarray(said, np.float32)
