"""Exact search: every row's inner product with the query, read straight from the stored vectors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.index.dense.storage import StoredVectors
from retr.retrieval.embeddings import Floats

Rows = NDArray[np.int64]

_VIEW_ROWS = 65_536
_DECODE_ROWS = 1_024
"""Rows decoded or copied at a time: a block of some 384 numbers a row then stays in the second-level cache."""
_MATRIX_ROWS = 32_768
_QUERIES = 256
_SPARE = 16
"""A matrix product rounds equal vectors differently by their place: so many rows more are taken to the final score."""


def scan(stored: StoredVectors, queries: Floats, k: int, rows: Rows | None = None) -> tuple[Floats, Rows]:
    """The k best rows a query among `rows`, which rise (None: all); the lower row first where scores are equal.

    Gives scores and rows [queries, min(k, candidates)].
    """
    total = len(stored) if rows is None else len(rows)
    k = min(k, total)
    if not k or not len(queries):
        return np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    if len(queries) == 1:
        # FAISS sums vectors of 8 or 12 numbers in another order when it takes them one after the other.
        places = _top(_all_scores(stored, queries, rows, total)[None, :], min(k + _SPARE, total))
        found = places if rows is None else rows[places]
        return ranked(score_rows(stored, queries, found), found, k)
    parts = [_scan_many(stored, queries[at : at + _QUERIES], k, rows) for at in range(0, len(queries), _QUERIES)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def score_rows(stored: StoredVectors, queries: Floats, rows: Rows) -> Floats:
    """Inner products of each query with its own rows [queries, n]; -inf where the row is -1.

    Each is computed alone and in one order, so a score never depends on the plan that led to the row.
    """
    pointer = faiss().swig_ptr
    scores = np.empty(rows.shape, np.float32)
    count, width = rows.shape
    if not rows.size:
        return scores
    if stored.plain is not None:
        plain = pointer(stored.plain)
        rows = np.ascontiguousarray(rows)
        faiss().fvec_inner_products_by_idx(
            pointer(scores), pointer(queries), plain, pointer(rows), stored.dim, count, width
        )
        return scores
    for number in range(count):
        vectors = stored.take(np.maximum(rows[number], 0))
        faiss().fvec_inner_products_ny(
            pointer(scores[number]), pointer(queries[number]), pointer(vectors), stored.dim, width
        )
    scores[rows < 0] = -np.inf
    return scores


def ranked(scores: Floats, rows: Rows, k: int) -> tuple[Floats, Rows]:
    """The k best of each line, best first; `rows` must rise in each line, so that ties come by the lower row."""
    if len(scores) == 1:  # The one question that somebody waits for: a tenth of its time.
        best = np.argsort(-scores[0], kind="stable")[:k]
        return scores[:, best], rows[:, best]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def widened(values: NDArray[Any], filling: float, k: int) -> NDArray[Any]:
    """The columns of `values` [queries, at most k], and `filling` up to k."""
    width = values.shape[1]
    if width >= k:
        return values
    wide = np.full((len(values), k), filling, values.dtype)
    wide[:, :width] = values
    return wide


def _all_scores(stored: StoredVectors, queries: Floats, rows: Rows | None, total: int) -> Floats:
    pointer = faiss().swig_ptr
    scores = np.empty(total, np.float32)
    step = _VIEW_ROWS if stored.plain is not None else _DECODE_ROWS
    for start in range(0, total, step):
        stop = min(start + step, total)
        if rows is not None:
            scores[start:stop] = score_rows(stored, queries, rows[None, start:stop])[0]
            continue
        block = stored.span(start, stop)
        faiss().fvec_inner_products_ny(
            pointer(scores[start:stop]), pointer(queries), pointer(block), stored.dim, stop - start
        )
    return scores


def _scan_many(stored: StoredVectors, queries: Floats, k: int, rows: Rows | None) -> tuple[Floats, Rows]:
    total = len(stored) if rows is None else len(rows)
    wide = min(k + _SPARE, total)
    best_scores = np.empty((len(queries), 0), np.float32)
    best_places = np.empty((len(queries), 0), np.int64)
    for start in range(0, total, _MATRIX_ROWS):
        stop = min(start + _MATRIX_ROWS, total)
        block = stored.span(start, stop) if rows is None else stored.take(rows[start:stop])
        scores = queries @ block.T
        places = _top(scores, min(wide, stop - start))
        best_scores = np.concatenate([best_scores, np.take_along_axis(scores, places, 1)], axis=1)
        best_places = np.concatenate([best_places, places + start], axis=1)
        if best_scores.shape[1] > wide:
            kept = _top(best_scores, wide)
            best_scores = np.take_along_axis(best_scores, kept, 1)
            best_places = np.take_along_axis(best_places, kept, 1)
    found = best_places if rows is None else rows[best_places]
    return ranked(score_rows(stored, queries, found), found, k)


def _top(scores: Floats, k: int) -> Rows:
    """The places of the k largest of each line, rising; of equal ones at the edge, the first."""
    width = scores.shape[1]
    if k >= width:
        return np.broadcast_to(np.arange(width), scores.shape)
    places = np.argpartition(scores, width - k, axis=1)[:, width - k :]
    edge = np.take_along_axis(scores, places, 1).min(axis=1)
    for line in np.flatnonzero(np.count_nonzero(scores >= edge[:, None], axis=1) > k):
        above = np.flatnonzero(scores[line] > edge[line])
        equal = np.flatnonzero(scores[line] == edge[line])
        places[line] = np.concatenate([above, equal[: k - len(above)]])
    places.sort(axis=1)
    return places.astype(np.int64, copy=False)
