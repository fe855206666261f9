"""How embeddings are compared: the slow, clear reference that every fast path is checked against."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import Mismatch
from retr.retrieval.protocols import Similarity

Scores = NDArray[np.float64]


def dot(queries: Vectors, documents: Vectors) -> Scores:
    """Inner products, added up in float64: [queries, documents]. Mismatch for different dims."""
    _check_dims(queries, documents)
    return queries.values.astype(np.float64) @ documents.values.astype(np.float64).T


def cosine(queries: Vectors, documents: Vectors) -> Scores:
    """Cosines of the angles, [queries, documents]; a vector of zeros has 0 with every other. Mismatch as above."""
    lengths = np.outer(_lengths(queries), _lengths(documents))
    return np.divide(dot(queries, documents), lengths, out=np.zeros_like(lengths), where=lengths > 0)


def maxsim(queries: TokenVectors, documents: TokenVectors) -> Scores:
    """For each query token its largest inner product with a document token, summed (Khattab and Zaharia, 2020).

    [queries, documents]. A text without tokens scores 0 with every other. Mismatch for different dims.
    """
    _check_dims(queries, documents)
    scores = np.zeros((len(queries), len(documents)))
    for row, query in enumerate(queries):
        for column, document in enumerate(documents):
            if len(query) and len(document):
                products = query.astype(np.float64) @ document.astype(np.float64).T  # [query tokens, document tokens]
                scores[row, column] = products.max(axis=1).sum()
    return scores


SIMILARITIES: dict[Similarity, Callable[..., Scores]] = {"dot": dot, "cosine": cosine, "maxsim": maxsim}
"""An encoder's `similarity` to the function that computes it."""


def _lengths(vectors: Vectors) -> Scores:
    lengths: Scores = np.sqrt((vectors.values.astype(np.float64) ** 2).sum(axis=1))
    return lengths


def _check_dims(queries: Embeddings, documents: Embeddings) -> None:
    if queries.dim != documents.dim:
        raise Mismatch(
            f"The queries have dim {queries.dim}, the documents {documents.dim}. Encode both with one model."
        )
