"""A reranker over vectors that the index holds: the texts of hits are not encoded again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from retr.index.opened import KeptTokens, Opened
from retr.index.ranking import Ranked
from retr.retrieval.embeddings import Floats, TokenVectors, Vectors
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


@dataclass(frozen=True, slots=True, eq=False)
class OverTokens:
    """MaxSim of one query's tokens [tokens, dim] with those that the index holds of its hits, which are its `rows`."""

    index: KeptTokens
    query: Floats
    rows: NDArray[np.int64]
    comparable: bool = True
    fingerprint: str = "stored tokens"

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text; `texts` are those of the first hits, in order."""
        return self.index.scores(self.query, self.rows[: len(texts)])


def over_tokens(snapshot: Opened, queries: TokenVectors, found: Sequence[Sequence[Ranked]]) -> list[OverTokens]:
    """For each query the scorer of its own hits by their tokens."""
    assert snapshot.late is not None
    rows = [np.array([one.row for one in ranked], np.int64) for ranked in found]
    return [OverTokens(snapshot.late, query, of_one) for query, of_one in zip(queries, rows, strict=True)]


def reads_stored(scorer: Scorer, snapshot: Opened) -> TypeGuard[VectorScorer]:
    """Whether the scorer takes the vectors of this very encoder, and the index holds them whole."""
    facts = snapshot.manifest.encoder
    if facts is None or snapshot.dense is None or snapshot.manifest.dim != facts.dim:
        return False
    return isinstance(scorer, VectorScorer) and scorer.reads == facts.fingerprint


def over_stored(
    scorer: VectorScorer, snapshot: Opened, queries: Vectors, found: Sequence[Sequence[Ranked]]
) -> list[OverStored]:
    """For each query the scorer of its own hits."""
    assert snapshot.dense is not None
    rows = [np.array([one.row for one in ranked], np.int64) for ranked in found]
    each = zip(queries.values, rows, strict=True)
    return [OverStored(scorer, query, snapshot.dense.vectors(of_one)) for query, of_one in each]
