"""Optimal transport between two sets of token vectors: entropic, by Sinkhorn's iterations on logarithms.

A symmetric cousin of MaxSim: every token of both texts has to be matched, each as much as its weight says.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput

Marginals = Literal["uniform", "norm"]
Values = NDArray[np.float64]
NUMBERS_A_CHUNK = 1 << 21
"""Similarities held at once, 16 MiB in float64."""


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """`epsilon` weighs the plan's entropy against its cost, in units of a cost, which is from 0 to 2.

    `marginals` are the tokens' weights: `uniform`, or in proportion to the `norm` of the vectors, which is the same
    where they are of unit length.
    """

    epsilon: float = 0.1
    iterations: int = 30
    marginals: Marginals = "uniform"

    def __post_init__(self) -> None:
        if not 0.001 <= self.epsilon <= 100:
            raise BadInput(f"epsilon is {self.epsilon}; give 0.001 to 100, such as 0.1.")
        if self.iterations < 1:
            raise BadInput(f"iterations is {self.iterations}; give at least 1, such as 30.")
        if self.marginals not in get_args(Marginals):
            raise BadInput(f"marginals are {', '.join(get_args(Marginals))}; got {self.marginals!r}.")


@dataclass(frozen=True, slots=True)
class Transport:
    """A `TokenScoring`: minus the cost of the plan that moves the query's tokens onto the document's (Cuturi 2013).

    The cost of a pair is 1 - cosine, so scores are from -2 to 0, and 0 is a perfect match of both sets.
    """

    settings: TransportSettings = TransportSettings()

    def score_tokens(self, query: Floats, documents: TokenVectors) -> Floats:
        """float32 [documents] of a query [tokens, dim]; a document's score does not depend on the others.

        BadInput where a text has no tokens: nothing can be moved there.
        """
        lengths = np.diff(documents.offsets)
        if not lengths.all() or not len(query):
            raise BadInput(
                "A text without token vectors cannot be matched. Give texts, and a model that keeps a token."
            )
        ends = documents.offsets[1:] * len(query) // NUMBERS_A_CHUNK
        pieces = np.split(np.arange(len(documents)), np.flatnonzero(np.diff(ends)) + 1)
        found = [self._costs(query, documents, piece) for piece in pieces if len(piece)]
        return -np.concatenate([np.empty(0), *found]).astype(np.float32)

    def plan(self, query: Floats, document: Floats) -> Values:
        """How much of each query token is moved onto each document token: float64 [query tokens, document tokens]."""
        offsets = np.array([0, len(document)])
        return self._plans(query, document, offsets)[0]

    def _costs(self, query: Floats, documents: TokenVectors, piece: NDArray[np.int64]) -> Values:
        first, last = documents.offsets[piece[0]], documents.offsets[piece[-1] + 1]
        offsets = documents.offsets[piece[0] : piece[-1] + 2] - first
        plans, costs = self._plans(query, documents.values[first:last], offsets)
        return np.add.reduceat((plans * costs).sum(axis=0), offsets[:-1])

    def _plans(self, query: Floats, values: Floats, offsets: NDArray[np.int64]) -> tuple[Values, Values]:
        """Plans and costs, both [query tokens, tokens], of documents whose tokens stand end to end, each by itself."""
        starts, lengths = offsets[:-1], np.diff(offsets)
        left, asked = _unit(query)
        right, held = _unit(values)
        costs = 1 - left @ right.T
        ours = np.log(self._weights(asked, np.zeros(1, np.int64), np.array([len(query)])))[:, None]
        theirs = np.log(self._weights(held, starts, lengths))
        scaled = costs / -self.settings.epsilon
        columns = np.zeros(len(values))
        for _ in range(self.settings.iterations):
            rows = ours - _by_document(scaled + columns, starts, lengths)
            columns = theirs - _over_query(scaled + np.repeat(rows, lengths, axis=1))
        return np.exp(scaled + np.repeat(rows, lengths, axis=1) + columns), costs

    def _weights(self, norms: Values, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Values:
        """Each token's share of its text, [tokens]; a vector of zeros keeps a share of nearly nothing."""
        each = np.ones_like(norms) if self.settings.marginals == "uniform" else np.maximum(norms, 1e-12)
        return np.asarray(each / np.repeat(np.add.reduceat(each, starts), lengths))


def _unit(vectors: Floats) -> tuple[Values, Values]:
    values = vectors.astype(np.float64)
    norms = np.sqrt((values**2).sum(axis=1))
    return values / np.maximum(norms, 1e-12)[:, None], norms


def _by_document(table: Values, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Values:
    """log of the sum of exp over each document's tokens: [query tokens, tokens] to [query tokens, documents]."""
    most = np.maximum.reduceat(table, starts, axis=1)
    return np.asarray(most + np.log(np.add.reduceat(np.exp(table - np.repeat(most, lengths, axis=1)), starts, axis=1)))


def _over_query(table: Values) -> Values:
    """log of the sum of exp over the query's tokens: [query tokens, tokens] to [tokens]."""
    most = table.max(axis=0)
    return np.asarray(most + np.log(np.exp(table - most).sum(axis=0)))
