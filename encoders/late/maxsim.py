"""MaxSim without padding: for each query token its best document token, and the sum (Khattab & Zaharia 2020, eq. 3)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput


def maxsim(query: Floats, documents: Sequence[Floats], *, mean: bool = False) -> Floats:
    """float32 [documents] of token vectors [tokens, dim]; with `mean` the sum over the query's number of tokens.

    BadInput where a document has no tokens: nothing is the best of nothing.
    """
    if not documents:
        return np.empty(0, np.float32)
    lengths = np.array([len(document) for document in documents])
    if not lengths.all() or not len(query):
        raise BadInput("A text without token vectors cannot be matched. Give texts, and a model that keeps a token.")
    similarities = np.concatenate(documents) @ query.T
    best = np.maximum.reduceat(similarities, np.cumsum(lengths) - lengths, axis=0)
    return np.asarray(best.mean(axis=1) if mean else best.sum(axis=1), np.float32)


def alignment(query: Floats, document: Floats) -> tuple[NDArray[np.int64], Floats]:
    """For each query token the row of its best document token, int64 [tokens], and their similarity [tokens]."""
    similarities = document @ query.T
    rows = similarities.argmax(axis=0)
    return rows.astype(np.int64), np.asarray(similarities[rows, np.arange(len(query))], np.float32)
