"""A cross-encoder that compares two candidates of a query at a time, without torch: exact, and slow by its nature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from retr.encoders.reading.triples import PairwiseSettings, Triples, aggregated
from retr.retrieval.embeddings import Floats

if TYPE_CHECKING:
    from retr.encoders.cross import CrossEncoder


@dataclass(frozen=True, slots=True, eq=False)
class PairwiseEncoder:
    """A `Scorer` of n * (n - 1) runs for n texts (duoBERT: Nogueira et al. 2019, arXiv 1910.14424, section 3.2).

    A score says how a text stands against the others of the same call, so scores of two calls cannot be compared.
    """

    model: "CrossEncoder"
    triples: Triples
    settings: PairwiseSettings
    comparable: bool = False

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the scores depend on."""
        return self.model.identity

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the scores may."""
        return self.model.fingerprint

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text, higher is better."""
        asked, *read = self.triples.read([query, *texts])
        found = np.zeros((len(read), len(read)), np.float32)
        for one, tokens in enumerate(read if len(read) > 1 else ()):
            others = [other for other in range(len(read)) if other != one]
            rows = [self.triples.make(asked, tokens, read[other]) for other in others]
            found[one, others] = self.model.logits([row.ids for row in rows], [row.segments for row in rows])
        return aggregated(found, self.settings.aggregate)

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows."""
        return {**self.model.describe(), "comparable": False}
