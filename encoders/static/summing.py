"""Sums of a table's rows, one a text: texts of equal length share a gather, so that no loop runs a token."""

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats

TOKENS_A_GATHER = 1024
"""Rows gathered at once: measured, 1 MB at 256 numbers a row; more leaves the core's cache."""


def sums(table: Floats, ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> Floats:
    """The sum of the rows `ids` of each text: table [rows, dim], ids [tokens], lengths [texts] to [texts, dim].

    A text's rows are added in their order whatever stands beside them, so its sum is the same to the last bit in every
    batch. A text without tokens has a sum of zeros.
    """
    out = np.zeros((len(lengths), table.shape[1]), np.float32)
    starts = np.cumsum(lengths) - lengths
    order = np.argsort(lengths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        length = int(lengths[rows[0]]) if len(rows) else 0
        if length > TOKENS_A_GATHER:
            for row in rows:
                out[row] = _long(table, ids[starts[row] : starts[row] + length])
        elif length:
            _equal(table, ids, starts, rows, out)
    return out


def _equal(
    table: Floats, ids: NDArray[np.int32], starts: NDArray[np.int64], rows: NDArray[np.int64], out: Floats
) -> None:
    """Fill the `rows` of `out`, whose texts have equally many tokens."""
    length = int(starts[rows[0] + 1] - starts[rows[0]]) if rows[0] + 1 < len(starts) else len(ids) - int(starts[-1])
    step = TOKENS_A_GATHER // length
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        places = starts[some][:, None] + np.arange(length)
        out[some] = np.add.reduce(table.take(ids[places], axis=0), axis=1)


def _long(table: Floats, ids: NDArray[np.int32]) -> Floats:
    """One text's sum, a gather at a time."""
    total = np.zeros(table.shape[1], np.float32)
    for first in range(0, len(ids), TOKENS_A_GATHER):
        total += np.add.reduce(table.take(ids[first : first + TOKENS_A_GATHER], axis=0), axis=0)
    return total
