"""What a model says of given texts: a score for each pair, or for each candidate of a query, no index between."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors, check_finite
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Encoder, Scorer, Similarity
from retr.retrieval.scoring import SIMILARITIES

Values = NDArray[np.float64]
Watch = Callable[[int], object]
"""Told how many texts, or pairs, are newly done."""

TEXTS_AT_ONCE = 512


def pair_scores(
    encoder: Encoder,
    left: Sequence[str],
    right: Sequence[str],
    *,
    similarity: Similarity | None = None,
    watch: Watch = lambda done: None,
) -> Values:
    """The similarity of each pair of texts [pairs]; both sides are encoded as documents, each different text once.

    `similarity` replaces the encoder's own, `cosine` or `dot`. Mismatch where the encoder's vectors do not fit it.
    """
    places, embeddings = _encoded(encoder.encode_documents, [*left, *right], watch)
    compare = _comparison(embeddings, similarity or encoder.similarity)
    rows = [(places[one], places[other]) for one, other in zip(left, right, strict=True)]
    return np.array([compare(embeddings, one, embeddings, [other])[0] for one, other in rows], dtype=np.float64)


def candidate_scores(
    encoder: Encoder,
    queries: Sequence[str],
    candidates: Sequence[Sequence[str]],
    *,
    similarity: Similarity | None = None,
    watch: Watch = lambda done: None,
) -> list[Values]:
    """For each query the similarity of its candidates, [candidates] each; queries are encoded as queries."""
    asked, vectors = _encoded(encoder.encode_queries, queries, watch)
    places, embeddings = _encoded(encoder.encode_documents, [text for texts in candidates for text in texts], watch)
    compare = _comparison(embeddings, similarity or encoder.similarity)
    return [
        compare(vectors, asked[query], embeddings, [places[text] for text in texts])
        for query, texts in zip(queries, candidates, strict=True)
    ]


def scorer_pair_scores(
    scorer: Scorer, left: Sequence[str], right: Sequence[str], *, watch: Watch = lambda done: None
) -> Values:
    """The scorer's word on each pair [pairs], the left text as the query. BadInput when its calls do not compare."""
    if not scorer.comparable:
        raise BadInput("This scorer's scores hold within one list only, so pairs cannot be compared by it.")
    together: dict[str, list[int]] = {}
    for row, text in enumerate(left):
        together.setdefault(text, []).append(row)
    scores = np.empty(len(left))
    for text, rows in together.items():
        scores[rows] = _checked(scorer.score(text, [right[row] for row in rows]), len(rows))
        watch(len(rows))
    return scores


def scorer_candidate_scores(
    scorer: Scorer, queries: Sequence[str], candidates: Sequence[Sequence[str]], *, watch: Watch = lambda done: None
) -> list[Values]:
    """For each query the scores of its candidates, all of one query in one call."""
    found = []
    for query, texts in zip(queries, candidates, strict=True):
        found.append(_checked(scorer.score(query, list(texts)), len(texts)))
        watch(len(texts))
    return found


def _encoded(
    encode: Callable[[Sequence[str]], Embeddings], texts: Iterable[str], watch: Watch
) -> tuple[dict[str, int], Embeddings]:
    """Each different text's row, and the embeddings by row."""
    different = list(dict.fromkeys(texts))
    parts = []
    for start in range(0, len(different), TEXTS_AT_ONCE):
        part = encode(different[start : start + TEXTS_AT_ONCE])
        check_finite(part)
        parts.append(part)
        watch(len(part))
    return {text: row for row, text in enumerate(different)}, _joined(parts)


def _joined(parts: Sequence[Embeddings]) -> Embeddings:
    values = np.concatenate([part.values for part in parts])
    tokens = [part for part in parts if isinstance(part, TokenVectors)]
    if not tokens:
        return Vectors(values)
    lengths = np.concatenate([np.diff(part.offsets) for part in tokens])
    return TokenVectors(values, np.append(0, np.cumsum(lengths)).astype(np.int64))


def _comparison(embeddings: Embeddings, similarity: Similarity) -> Callable[..., Values]:
    if (similarity == "maxsim") != isinstance(embeddings, TokenVectors):
        kind = "one vector a token" if isinstance(embeddings, TokenVectors) else "one vector a text"
        raise Mismatch(f"The encoder gives {kind}, which the similarity {similarity!r} is not for. Leave it out.")
    function: Any = SIMILARITIES[similarity]

    def compare(queries: Embeddings, query: int, documents: Embeddings, rows: list[int]) -> Values:
        scores: Values = function(_rows(queries, [query]), _rows(documents, rows))[0]
        return scores

    return compare


def _rows(embeddings: Embeddings, rows: list[int]) -> Embeddings:
    if isinstance(embeddings, Vectors):
        return Vectors(embeddings.values[rows])
    parts = [embeddings.values[embeddings.offsets[row] : embeddings.offsets[row + 1]] for row in rows]
    ends = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    return TokenVectors(np.concatenate(parts), ends)


def _checked(scores: Any, count: int) -> Values:
    if scores.shape != (count,):
        raise Mismatch(f"The scorer gave scores of shape {list(scores.shape)} for {count} texts; one a text is needed.")
    if not np.isfinite(scores).all():
        raise BadInput("The scorer gave a score that is not finite. Check the model's weights.")
    return np.asarray(scores, dtype=np.float64)
