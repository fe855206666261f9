"""One vector a text: sentence-transformers' kind of encoder, without torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retr.encoders.graph import BUILDER, build
from retr.encoders.minilm import find_weights, read_checked, read_weights
from retr.encoders.models import MODELS, Model
from retr.encoders.session import map_runs, open_session
from retr.encoders.tokenizing import bert_tokenizer
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import unknown
from retr.retrieval.protocols import Similarity


@dataclass(frozen=True, slots=True, eq=False)
class BiEncoder:
    """Texts to vectors [texts, dim]. What is said of it is in `facts`; its numbers come from `session`."""

    session: Any
    tokenizer: Any
    dim: int
    max_tokens: int
    facts: dict[str, Any] = field(default_factory=dict)
    similarity: Similarity = "cosine"

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the vectors may."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        return Vectors(self._encode(texts))

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        return Vectors(self._encode(texts))

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows."""
        return {**self.facts, "dim": self.dim, "max_tokens": self.max_tokens}

    def _encode(self, texts: Sequence[str]) -> Floats:
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]

        def run(rows: list[int]) -> Floats:
            states = self.session.run(None, {"input_ids": np.array([ids[row] for row in rows], np.int64)})[0]
            means = states.mean(axis=1)
            return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

        return map_runs([len(row) for row in ids], run, self.dim)


def load(source: str) -> BiEncoder:
    """The encoder of a model's name."""
    if source not in MODELS:
        raise unknown("model", source, MODELS)
    return _load_packaged(MODELS[source])


def _load_packaged(model: Model) -> BiEncoder:
    path = find_weights(model)
    weights = read_weights(read_checked(path, model))
    facts = {
        "name": model.name,
        "weights": {"package": model.package, "file": model.file, "sha256": model.sha256},
        "precision": "int8",
        "pooling": "mean",
        "builder": BUILDER,
        "licence": model.licence,
    }
    session = open_session(build(weights, precision="int8", segments=False))
    return BiEncoder(session, bert_tokenizer(model.vocabulary, model.max_tokens), model.dim, model.max_tokens, facts)
