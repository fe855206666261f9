"""A Distilled Sentence Embedding as a reranker: a head over vectors, of which those that come again are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retr.encoders.distilled.model import DseModel, load_model
from retr.encoders.rankers.kept import Kept
from retr.encoders.reading.tokenizing import check_list
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

KEPT = 20_000
"""Texts whose vectors are kept; 120 MB of 1,536 numbers each."""


@dataclass(frozen=True, slots=True, eq=False)
class DseScorer:
    """Scores are the head's one number: a logit, or the grade it was trained on. Comparable between queries."""

    model: DseModel
    comparable: bool = True
    kept: Kept[Floats] = field(default_factory=lambda: Kept(KEPT))

    @property
    def fingerprint(self) -> str:
        """The model's."""
        return self.model.fingerprint

    @property
    def reads(self) -> str:
        """The fingerprint of the encoder whose vectors, as an index holds them, `score_vectors` takes; "" for none."""
        return self.fingerprint if self.model.shape.stored else ""

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text. A text that was scored before is not encoded again."""
        check_list(texts)
        if not texts:
            return np.empty(0, np.float32)
        vectors = self.read([query, *texts])
        return self.score_vectors(vectors[0], vectors[1:])

    def score_vectors(self, query: Floats, vectors: Floats) -> Floats:
        """float32 [texts] of vectors [texts, dim] that were computed before, as by `read`, for one query [dim].

        Where `reads` names an encoder, an index's own vectors will do.
        """
        return self.model.every(query[None], vectors)[0, :, 0]

    def read(self, texts: Sequence[str]) -> Floats:
        """float32 [texts, dim]: the vectors that the head reads."""
        found = self.kept.found(texts)
        new = [text for text in dict.fromkeys(texts) if text not in found]
        if new:
            read = dict(zip(new, self.model.vectors(new), strict=True))
            self.kept.keep(read)
            found |= read
        return np.stack([found[text] for text in texts])

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows."""
        return {**self.model.describe(), "comparable": self.comparable}


def load(source: str) -> DseScorer:
    """The scorer of a folder; BadInput where its head gives several numbers a pair."""
    model = load_model(source)
    if model.shape.outputs != 1:
        raise BadInput(
            f"{source} gives {model.shape.outputs} numbers a pair, one for each class; a scorer gives one. Read them "
            "in Python by `load_model(...).logits`, or distil a task of one number."
        )
    return DseScorer(model)
