"""What the kernels read and what they can do, whether compiled or in numpy."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats, TokenVectors

Numbers = NDArray[np.int8]
Bytes = NDArray[np.uint8]
Products = NDArray[np.int32]
Rows = NDArray[np.int64]

LEVELS = 16
"""Bytes of a table of levels, of which 4 bits use all and 2 bits the first four."""
MOST_TABLES = 8
"""Tables of levels that a codec may have: one, two, four or eight."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Coded tokens of documents, end to end, as they lie on disk.

    codes uint16 [tokens], a token's centroid times the number of tables plus its table of levels, or None where tokens
    need no centroid; residuals uint8 [tokens, dim * bits / 8]: with 8 bits numbers plus 128, with 4 and 2 bits plane
    after plane, the first of which are the lowest bits; offsets int64 [documents + 1]; levels uint8 [tables, 16].
    Kernels check nothing: codes and offsets must fit.
    """

    codes: NDArray[np.uint16] | None
    residuals: Bytes
    offsets: Rows
    levels: Bytes
    bits: int

    @property
    def dim(self) -> int:
        """Numbers in a token's vector."""
        return int(self.residuals.shape[1]) * 8 // self.bits

    @property
    def shift(self) -> int:
        """Bits of a code that name the table of levels: its lowest."""
        return len(self.levels).bit_length() - 1

    def centroids(self, places: "Rows | slice") -> NDArray[np.uint16]:
        """The centroids of some tokens: [places]."""
        assert self.codes is not None
        return np.asarray(self.codes[places] >> np.uint16(self.shift))


def lanes_of(query_tokens: int) -> int:
    """Columns of products: query tokens padded to a multiple of 16."""
    return -(-query_tokens // 16) * 16


def wide_of(query_tokens: int) -> int:
    """Columns of a table for the scan: query tokens padded to a multiple of 32."""
    return -(-query_tokens // 32) * 32


class Kernels(Protocol):
    """Queries are numbers from -127 to 127, int8 [query tokens, dim]. Safe to share between threads."""

    @property
    def name(self) -> str:
        """The instruction set, or `numpy`."""
        ...

    def products(self, query: Numbers, rows: Bytes) -> Products:
        """Inner products with rows of numbers plus 128, uint8 [rows, dim]: int32 [rows, lanes]; padding is 0."""
        ...

    def tables(self, query: Numbers, products: Products, gain: int, zero: int) -> tuple[Products, Bytes]:
        """What is looked up for a centroid, from the centroids' products [centroids, lanes].

        First gain * product - zero * (sum of the query token's numbers), int32 [centroids, lanes]. Then, for the scan,
        the products less their mean over the centroids, from 0 to 255: uint8 [centroids, wide].
        """
        ...

    def scores(self, query: Numbers, tokens: Tokens, bases: Products, rows: Rows | None) -> Rows:
        """MaxSim of some documents (None: all) as whole numbers, int64 [rows].

        A token's similarity is its bases, [centroids, lanes] or [1, lanes] without codes, plus its levels' product.
        """
        ...

    def scan(self, query_tokens: int, tokens: Tokens, table: Bytes, rows: Rows | None) -> NDArray[np.uint32]:
        """For each document the sum over query tokens of the largest byte of its centroids in `table`: [rows]."""
        ...

    def floats(self, query: Floats, tokens: TokenVectors) -> NDArray[np.float64]:
        """MaxSim of one query, float32 [query tokens, dim], with each text of `tokens`: [texts]."""
        ...

    def best(self, scores: NDArray[np.uint32], most: int, wanted: int) -> Rows:
        """The places of the `wanted` largest scores, which are at most `most`, rising; of equal ones the first."""
        ...
