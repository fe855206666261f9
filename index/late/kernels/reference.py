"""The kernels' numpy twin, written to be read: the fallback, and what compiled code is held against."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from retr.index.late.kernels.arrays import Bytes, Numbers, Products, Rows, Tokens, lanes_of, wide_of
from retr.retrieval.embeddings import Floats, TokenVectors

_EXACT = 1 << 24
"""Sums of whole numbers below this are exact in float32, whatever their order."""
_AT_ONCE = 1 << 14
"""Tokens expanded at a time."""


class Numpy:
    """See `Kernels`."""

    name = "numpy"

    def products(self, query: Numbers, rows: Bytes) -> Products:
        """The centroids' products."""
        out = np.zeros((len(rows), lanes_of(len(query))), np.int32)
        for at in range(0, len(rows), _AT_ONCE):
            out[at : at + _AT_ONCE, : len(query)] = similarities(rows[at : at + _AT_ONCE], query) - 128 * _sums(query)
        return out

    def tables(self, query: Numbers, products: Products, gain: int, zero: int) -> tuple[Products, Bytes]:
        """The two tables."""
        count = len(query)
        bases = np.zeros_like(products)
        bases[:, :count] = gain * products[:, :count] - zero * _sums(query)
        above = products[:, :count] - products[:, :count].sum(axis=0, dtype=np.int64) // len(products)
        span, shift = int(above.max(initial=0)), 0
        while span >> shift > 0xFFFF:
            shift += 1
        scale = (255 << 16) // (span >> shift) if span >> shift else 0
        table = np.zeros((len(products), wide_of(count)), np.uint8)
        table[:, :count] = ((np.maximum(above, 0) >> shift) * scale + 32768) >> 16
        return bases, table

    def scores(self, query: Numbers, tokens: Tokens, bases: Products, rows: Rows | None) -> Rows:
        """MaxSim in whole numbers."""
        chosen = np.arange(len(tokens.offsets) - 1) if rows is None else rows
        out = np.empty(len(chosen), np.int64)
        for at, places, cuts in _groups(tokens.offsets, chosen):
            found = similarities(numbers_of(tokens, places), query)
            found += bases[0 if tokens.codes is None else tokens.centroids(places), : len(query)]
            out[at : at + len(cuts)] = np.maximum.reduceat(found, cuts, axis=0).sum(axis=1, dtype=np.int64)
        return out

    def scan(self, query_tokens: int, tokens: Tokens, table: Bytes, rows: Rows | None) -> NDArray[np.uint32]:
        """The scan of all codes."""
        chosen = np.arange(len(tokens.offsets) - 1) if rows is None else rows
        out = np.empty(len(chosen), np.uint32)
        for at, places, cuts in _groups(tokens.offsets, chosen):
            found = table[tokens.centroids(places)]
            out[at : at + len(cuts)] = np.maximum.reduceat(found, cuts, axis=0).sum(axis=1, dtype=np.uint32)
        return out

    def floats(self, query: Floats, tokens: TokenVectors) -> NDArray[np.float64]:
        """MaxSim in float32, the last sum in float64."""
        out = np.empty(len(tokens), np.float64)
        for at, places, cuts in _groups(tokens.offsets, np.arange(len(tokens))):
            found = np.maximum.reduceat(tokens.values[places] @ query.T, cuts, axis=0)
            out[at : at + len(cuts)] = found.sum(axis=1, dtype=np.float64)
        return out

    def best(self, scores: NDArray[np.uint32], most: int, wanted: int) -> Rows:
        """The best places, rising."""
        return np.sort(np.argsort(-scores.astype(np.int64), kind="stable")[:wanted])


def numbers_of(tokens: Tokens, places: Rows) -> Bytes:
    """The levels, or with 8 bits the numbers plus 128, of some tokens: uint8 [places, dim]."""
    stored = tokens.residuals[places]
    if tokens.bits == 8:
        return stored
    planes = [(stored >> shift) & ((1 << tokens.bits) - 1) for shift in range(0, 8, tokens.bits)]
    tables = 0 if tokens.codes is None else (tokens.codes[places] & np.uint16(len(tokens.levels) - 1))[:, None]
    return np.asarray(tokens.levels[tables, np.concatenate(planes, axis=1)])


def _groups(offsets: Rows, rows: Rows) -> list[tuple[int, Rows, Rows]]:
    """Documents cut into groups of some tokens: place of the first, the places of all tokens, where documents begin."""
    if not len(rows):
        return []
    lengths = offsets[rows + 1] - offsets[rows]
    edges = np.flatnonzero(np.diff((np.cumsum(lengths) - lengths) // _AT_ONCE)) + 1
    groups = []
    for first, last in pairwise([0, *edges.tolist(), len(rows)]):
        starts = np.cumsum(lengths[first:last]) - lengths[first:last]
        shifts = np.repeat(offsets[rows[first:last]] - starts, lengths[first:last])
        groups.append((first, np.arange(len(shifts)) + shifts, starts))
    return groups


def similarities(rows: Bytes, query: Numbers) -> Products:
    """Products of bytes [rows, dim] with numbers [query tokens, dim], exact: int32 [rows, query tokens]."""
    kind = np.float32 if query.shape[1] * 255 * 127 < _EXACT else np.float64
    return np.asarray(rows.astype(kind) @ query.T.astype(kind)).astype(np.int32)


def _sums(query: Numbers) -> Products:
    return np.asarray(query.sum(axis=1, dtype=np.int32))
