"""A late model as a scorer of a query with texts, whose vectors are kept for when they come again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retr.encoders.late.encoder import LateEncoder
from retr.encoders.late.encoder import load as load_encoder
from retr.encoders.late.marking import Span
from retr.encoders.late.maxsim import alignment
from retr.encoders.late.scoring import joined
from retr.encoders.rankers.kept import Kept
from retr.encoders.reading.tokenizing import check_list
from retr.retrieval.embeddings import Floats

TEXTS = 2000
"""Texts whose vectors are kept: of 200 tokens with 128 numbers each, 200 MB."""


@dataclass(frozen=True, slots=True)
class Match:
    """A query token, the document token that it matches best, and how alike they are; spans are of characters."""

    query_token: str
    query_span: Span
    token: str
    span: Span
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class LateScorer:
    """A `Scorer` by the scoring that the model learned with, or another; a score depends on nothing but its pair."""

    encoder: LateEncoder
    scoring: str = ""
    kept: Kept[Floats] = field(default_factory=lambda: Kept(TEXTS))
    comparable: bool = True

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the scores depend on."""
        return {**self.encoder.identity, **self.encoder.scorings.identity}

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the scores may."""
        told = [self.encoder.fingerprint, self.scoring, self.encoder.scorings.identity]
        return self.encoder.fingerprint if not any(told[1:]) else hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """float32 [texts]; for MaxSim the sum over the query's tokens of the greatest similarity, or their mean."""
        check_list(texts)
        if not texts:
            return np.empty(0, np.float32)
        found = self.kept.found(texts)
        new = [text for text in dict.fromkeys(texts) if text not in found]
        if new:
            read = {text: vectors.copy() for text, vectors in zip(new, self.encoder.encode_documents(new), strict=True)}
            self.kept.keep(read)
            found |= read
        asked = self.encoder.encode_queries([query]).values
        documents = joined([found[text] for text in texts], self.encoder.dim)
        return self.encoder.scorings.named(self.scoring).score_tokens(asked, documents)

    def explain(self, query: str, text: str) -> list[Match]:
        """What each of the query's tokens matches best in the text; their similarities add up to MaxSim."""
        asked, tokens = self.encoder.spans([query], "query")[0], self.encoder.spans([text])[0]
        vectors = self.encoder.encode_documents([text]).values
        rows, similarities = alignment(self.encoder.encode_queries([query]).values, vectors)
        best = [tokens[row] for row in rows]
        return [
            Match(name, span, other, place, float(similarity))
            for (name, span), (other, place), similarity in zip(asked, best, similarities, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows."""
        return {**self.encoder.describe(), "comparable": self.comparable}


def load(source: str, device: str = "") -> LateScorer:
    """The scorer of a late model's folder, or of a hub name."""
    return LateScorer(load_encoder(source, device))
