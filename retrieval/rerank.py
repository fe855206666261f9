"""A second look: hits put in the order of a scorer that reads query and text together, or their tokens' vectors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Hit


@runtime_checkable
class TokenScoring(Protocol):
    """One way to make a score of token vectors, such as optimal transport."""

    def score_tokens(self, query: Floats, documents: TokenVectors) -> Floats:
        """One float32 a document, of the query's tokens [tokens, dim]; a score depends on nothing but its pair."""
        ...


@runtime_checkable
class TokenScorings(Protocol):
    """An encoder of tokens that knows scorings of its own, so that those an index holds can be scored by them."""

    def scoring(self, name: str) -> TokenScoring:
        """The scoring of that name; "" is the one that the model learned with."""
        ...


def rerank(query: str, hits: Sequence[Hit], scorer: Scorer, *, depth: int | None = None) -> list[Hit]:
    """The hits ordered by the scorer, ranks counted anew; equal scores keep the order they came in.

    The first `depth` hits (None: all) are scored on their title and text, in one call, so that a listwise scorer, whose
    scores are not comparable between calls, sees all its candidates at once. The other hits follow in their old order;
    for them the scorer said nothing, so each gets a score just below the one before, and a later sort by score (a TREC
    run is sorted so) keeps the order.

    A hit that carries an `explain` gains `{"rerank": {"score", "before": {"rank", "score"}}}`, where the score is null
    beyond the depth. BadInput for a score that is not finite; Mismatch when the scores are not one a text.
    """
    if depth is not None and depth < 1:
        raise BadInput(f"The depth of reranking must be at least 1; got {depth}.")
    first, rest = hits[:depth], hits[len(hits[:depth]) :]
    if not first:
        return []
    scores = _scores(query, first, scorer)
    order = np.argsort(-scores, kind="stable")
    ranked = [_scored(first[place], float(scores[place]), rank) for rank, place in enumerate(order, start=1)]
    # Whole numbers stay apart as float32 too, which is what trec_eval compares.
    below = math.floor(scores.min())
    return ranked + [_unscored(hit, below - place, len(first) + place) for place, hit in enumerate(rest, start=1)]


def _scores(query: str, hits: Sequence[Hit], scorer: Scorer) -> Floats:
    scores = scorer.score(query, [f"{hit.title} {hit.text}".strip() for hit in hits])
    if scores.shape != (len(hits),):
        raise Mismatch(
            f"The scorer gave scores of shape {list(scores.shape)} for {len(hits)} texts; one a text is needed."
        )
    finite = np.isfinite(scores)
    if not finite.all():
        worst = int(np.argmin(finite))
        raise BadInput(
            f"The scorer gave {float(scores[worst])} for the document {hits[worst].id!r}; scores must be finite. "
            "Check the model's weights."
        )
    return scores


def _scored(hit: Hit, score: float, rank: int) -> Hit:
    return replace(hit, score=score, rank=rank, explain=_explained(hit, score))


def _unscored(hit: Hit, score: int, rank: int) -> Hit:
    return replace(hit, score=float(score), rank=rank, explain=_explained(hit, None))


def _explained(hit: Hit, score: float | None) -> Mapping[str, Any] | None:
    if hit.explain is None:
        return None
    return {**hit.explain, "rerank": {"score": score, "before": {"rank": hit.rank, "score": hit.score}}}
