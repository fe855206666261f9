"""Maximal marginal relevance: results that answer the query and do not repeat each other."""

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput


def most_diverse(query: Floats, candidates: Floats, k: int, *, relevance: float = 0.5) -> list[int]:
    """The rows of k candidates [candidates, dim], in the order they are chosen (Carbonell and Goldstein, 1998).

    Each is the one with the highest `relevance` * cos(query, it) - (1 - `relevance`) * the highest cosine with one
    chosen before; of equal ones the first. BadInput for a relevance outside 0..1.
    """
    if not 0 <= relevance <= 1:
        raise BadInput(f"The weight of relevance in MMR must be from 0 (most diverse) to 1; got {relevance}.")
    units = _units(candidates.astype(np.float64))
    wanted = units @ _units(query.astype(np.float64)[None, :])[0]
    repeated = np.zeros(len(units))
    chosen: list[int] = []
    left = np.ones(len(units), np.bool_)
    while len(chosen) < min(k, len(units)):
        merit = relevance * wanted - (1 - relevance) * repeated
        best = int(np.argmax(np.where(left, merit, -np.inf)))
        alike = units @ units[best]
        repeated = alike if not chosen else np.maximum(repeated, alike)
        left[best] = False
        chosen.append(best)
    return chosen


def _units(values: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1.0)
