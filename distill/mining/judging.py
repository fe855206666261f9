"""An encoder as a scorer of candidates, and whether a scorer's numbers can be used as asked."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from retr.distill.mining.settings import PERCENT_OF_POSITIVE, MiningSettings
from retr.index.collection import Collection
from retr.index.exact import single
from retr.index.remembering import QueryVectors
from retr.index.writing.creation import given
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder, Scorer
from retr.retrieval.scoring import SIMILARITIES

REMEMBERED = 32_768
"""Passages whose vectors are kept, for candidates that come again: 48 MiB of vectors of 384 numbers."""


class EncoderScorer:
    """Scores by the similarity of an encoder's vectors. A text's score does not depend on the others."""

    comparable = True

    def __init__(self, encoder: Encoder) -> None:
        if encoder.similarity == "maxsim":
            raise BadInput(
                "This encoder gives one vector a token; candidates are scored by single vectors. Take another."
            )
        self.encoder = encoder
        self._vectors = QueryVectors(REMEMBERED)

    @property
    def fingerprint(self) -> str:
        """The encoder's."""
        return self.encoder.fingerprint

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """Cosines or inner products, float32 [texts]."""
        if not texts:
            return np.empty(0, np.float32)
        encoder = self.encoder
        asked = Vectors(single(encoder.encode_queries([query]), encoder.dim))
        held = self._vectors.of(texts, lambda missing: single(encoder.encode_documents(missing), encoder.dim))
        scores: Floats = SIMILARITIES[encoder.similarity](asked, Vectors(held))[0].astype(np.float32)
        return scores


def index_scorer(collection: Collection) -> EncoderScorer | None:
    """The collection's own encoder as a scorer; None where it has none that encodes."""
    facts = collection.manifest.encoder
    if facts is None or given(facts) is not None:
        return None
    return EncoderScorer(collection.encoder)


def settled(settings: MiningSettings, scorer: Scorer | None) -> MiningSettings:
    """The settings with the bounds that hold where none were given. BadInput where scores cannot be used so."""
    if scorer is None:
        if settings.bounded:
            raise BadInput("A margin or max_score is given, but no scorer to score candidates. Give one, or neither.")
        return settings
    if not settings.bounded:
        if isinstance(scorer, EncoderScorer) and scorer.encoder.similarity == "cosine":
            return replace(settings, relative_margin=PERCENT_OF_POSITIVE)
        settings = replace(settings, margin="auto")
    if not scorer.comparable and (settings.max_score is not None or settings.margin == "auto"):
        raise BadInput(
            "This scorer's scores cannot be compared between queries, so there is no one max_score and no auto margin "
            "for them. Give margin as a number, or relative_margin."
        )
    return settings
