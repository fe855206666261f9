"""`late`, `late:ot`, `late:xpool`: hits scored by the token vectors that the index holds, and nothing read again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from retr.index.opened import KeptTokens, Opened
from retr.index.ranking import Ranked
from retr.index.rescoring import over_tokens
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.protocols import Encoder, Scorer
from retr.retrieval.rerank import TokenScoring, TokenScorings
from retr.retrieval.transport import Transport

STORED = "late"
"""What `--rerank` calls the tokens in the index; a scoring's name may follow after a colon."""
MAXSIM, TRANSPORT = "maxsim", "ot"


def by_stored_tokens(rerank: object) -> TypeGuard[str]:
    """Whether hits are to be scored by the tokens in the index: `late`, or `late:` and a scoring's name."""
    return isinstance(rerank, str) and rerank.partition(":")[0] == STORED and "=" not in rerank


def scoring_name(rerank: str) -> str:
    """The scoring that is meant; BadInput where it is not of stored tokens."""
    if not by_stored_tokens(rerank):
        raise BadInput(f"rerank is a scorer, or late or late:SCORING for the tokens in the index; got {rerank!r}.")
    return rerank.partition(":")[2] or MAXSIM


@dataclass(frozen=True, slots=True, eq=False)
class OverScored:
    """A scoring of one query's tokens [tokens, dim] with those that the index holds of its hits, its `rows`."""

    scoring: TokenScoring
    index: KeptTokens
    query: Floats
    rows: NDArray[np.int64]
    comparable: bool = True
    fingerprint: str = "stored tokens"

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text; `texts` are those of the first hits, in order."""
        return self.scoring.score_tokens(self.query, self.index.vectors(self.rows[: len(texts)]))


def over_scored(
    snapshot: Opened, encoder: Encoder, name: str, queries: TokenVectors, found: Sequence[Sequence[Ranked]]
) -> Sequence[Scorer]:
    """For each query the scorer of its own hits by their tokens.

    MaxSim is the index's own. The others are the encoder's; one that has none can be asked for transport alone.
    """
    if name == MAXSIM:
        return over_tokens(snapshot, queries, found)
    assert snapshot.late is not None
    scoring = scoring_of(encoder, name)
    rows = [np.array([one.row for one in ranked], np.int64) for ranked in found]
    return [OverScored(scoring, snapshot.late, query, of_one) for query, of_one in zip(queries, rows, strict=True)]


def scoring_of(encoder: Encoder, name: str) -> TokenScoring:
    """The scoring of that name, other than MaxSim; NotFound where the encoder of the tokens has none."""
    if isinstance(encoder, TokenScorings):
        return encoder.scoring(name)
    if name != TRANSPORT:
        raise unknown("scoring of this index's tokens", name, (MAXSIM, TRANSPORT))
    return Transport()
