"""X-Pool without torch: a query looks at a document's tokens and pools them into one vector (Gorti et al. 2022)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retr.encoders.reading.safetensors_file import floats, read_safetensors
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput, Damaged, NotFound

PARTS = "xpool.safetensors"
LINEAR = ("query", "key", "value", "out", "linear")
NORMS = ("given", "pooled", "final")
TINY = 1e-5
"""Added to a variance, as torch's LayerNorm does."""


@dataclass(frozen=True, slots=True, eq=False)
class XPool:
    """A `TokenScoring`: the cosine of the mean of the query's tokens with the document as that pools it.

    `parts` are the weights by name, [dim, dim] and [dim]; arXiv 2203.15086, section 3.3, with one head.
    """

    parts: Mapping[str, Floats]

    @property
    def dim(self) -> int:
        """Numbers in a token's vector."""
        return len(self.parts["query.bias"])

    def score_tokens(self, query: Floats, documents: TokenVectors) -> Floats:
        """float32 [documents] of a query [tokens, dim]; a document's score does not depend on the others.

        BadInput where a text has no tokens: there is nothing to pool.
        """
        if not np.diff(documents.offsets).all() or not len(query):
            raise BadInput(
                "A text without token vectors cannot be matched. Give texts, and a model that keeps a token."
            )
        asked = query.mean(axis=0)
        looking = self._linear("query", self._norm("given", asked)) / math.sqrt(self.dim)
        return np.array([self._score(asked, looking, tokens) for tokens in documents], np.float32)

    def _score(self, asked: Floats, looking: Floats, tokens: Floats) -> float:
        given = self._norm("given", tokens)
        logits = self._linear("key", given) @ looking
        weights = np.exp(logits - logits.max())
        pooled = self._linear("value", given).T @ (weights / weights.sum())
        pooled = self._norm("pooled", self._linear("out", pooled))
        found = self._norm("final", pooled + self._linear("linear", pooled))
        lengths = float(np.linalg.norm(found)) * float(np.linalg.norm(asked))
        return float(found @ asked) / max(lengths, 1e-8)

    def _linear(self, name: str, vectors: Floats) -> Floats:
        return np.asarray(vectors @ self.parts[f"{name}.weight"].T + self.parts[f"{name}.bias"])

    def _norm(self, name: str, vectors: Floats) -> Floats:
        centred = vectors - vectors.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        return np.asarray(
            centred / np.sqrt(variance + TINY) * self.parts[f"{name}.weight"] + self.parts[f"{name}.bias"]
        )


def read_xpool(file: Path) -> XPool:
    """The weights of a file; NotFound where it is not there, Damaged where they are not X-Pool's."""
    if not file.is_file():
        raise NotFound(f"{file} is missing, which retr.json beside it tells of. Get the folder again.")
    parts = {name: floats(tensor) for name, tensor in read_safetensors([file]).items()}
    dim = len(parts.get("query.bias", ()))
    shapes = {f"{name}.weight": (dim, dim) for name in LINEAR} | {f"{name}.weight": (dim,) for name in NORMS}
    shapes |= {f"{name}.bias": (dim,) for name in (*LINEAR, *NORMS)}
    if not dim or {name: part.shape for name, part in parts.items()} != shapes:
        raise Damaged(f"{file} does not hold X-Pool's weights of one size. Get the folder again.")
    return XPool(parts)
