"""A reranker over vectors that the index holds: the texts of hits are not encoded again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np

from retr.index.searching import Ranked
from retr.index.snapshot import Snapshot
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.protocols import Scorer, VectorScorer


@dataclass(frozen=True, slots=True, eq=False)
class OverStored:
    """A scorer of one query's hits, whose stored vectors [hits, dim] stand in the hits' order."""

    scorer: VectorScorer
    query: Floats
    vectors: Floats

    @property
    def comparable(self) -> bool:
        """The scorer's."""
        return self.scorer.comparable

    @property
    def fingerprint(self) -> str:
        """The scorer's."""
        return self.scorer.fingerprint

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text; `texts` are those of the first hits, in order."""
        return self.scorer.score_vectors(self.query, self.vectors[: len(texts)])


def reads_stored(scorer: Scorer, snapshot: Snapshot) -> TypeGuard[VectorScorer]:
    """Whether the scorer takes the vectors of this very encoder, and the index holds them whole."""
    facts = snapshot.manifest.encoder
    if facts is None or snapshot.dense is None or snapshot.manifest.dim != facts.dim:
        return False
    return isinstance(scorer, VectorScorer) and scorer.reads == facts.fingerprint


def over_stored(
    scorer: VectorScorer, snapshot: Snapshot, queries: Vectors, found: Sequence[Sequence[Ranked]]
) -> list[OverStored]:
    """For each query the scorer of its own hits."""
    assert snapshot.dense is not None
    rows = [np.array([one.row for one in ranked], np.int64) for ranked in found]
    each = zip(queries.values, rows, strict=True)
    return [OverStored(scorer, query, snapshot.dense.vectors(of_one)) for query, of_one in each]
