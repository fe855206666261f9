"""How token vectors become codes: the nearest centroid, and what is left in 4 or 2 bits; or whole numbers of 8 bits.

A token of 4 or 2 bits is  unit * (centroid - 128 + (level - zero) / gain),  number by number; one of 8 bits is
unit * (number - 128). Centroids and levels are bytes themselves, so a similarity is a sum of whole numbers. Tokens lie
nearer to their centroids or farther off, so there are several tables of levels, and a token's code says which is its.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.index.dense.threads import building_threads
from retr.index.disk.fsio import Disk
from retr.index.late.kernels.arrays import LEVELS, MOST_TABLES, Bytes, Rows, Tokens
from retr.index.late.kernels.reference import numbers_of
from retr.index.late.settings import MOST_CENTROIDS, Bits
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, Mismatch

CODEC, CENTROIDS = "codec.json", "centroids.npy"
MOST_NUMBERS, MOST_GAIN = 4096, 16
"""A token's numbers, and levels to a centroid's step: with more of either a similarity could pass 31 bits."""
MOST_CODES, TABLES = 1 << 16, tuple(1 << shift for shift in range(MOST_TABLES.bit_length()))
"""Codes there are, for centroids times tables, and how many tables there may be."""
_SWEEPS = 2
_ALONG = 4
"""How much an error along a token counts beside one across it. On MiniLM's token vectors scores were 13 % (2 bits) and
19 % (4 bits) nearer to exact ones than with 1, and no nearer with 12 or 40."""
_BLOCK = 8_192
"""Tokens coded at a time, so that what is in between stays small."""

Codes = NDArray[np.uint16]


def check_dim(dim: int) -> None:
    """BadInput for token vectors of a length that no codec takes."""
    if not 4 <= dim <= MOST_NUMBERS or dim % 4:
        raise BadInput(
            f"Token vectors need a dim that 4 divides, up to {MOST_NUMBERS}; got {dim}. Project them to one."
        )


@dataclass(frozen=True, slots=False, eq=False)  # slots would leave no room for what is cached
class Codec:
    """Bytes of centroids [centroids, dim] (none: tokens of 8 bits that are only scanned) and of levels, and scales.

    Levels are [tables, 16], with 1, 2, 4 or 8 tables, and 1 with 8 bits; a code is centroid * tables + table.
    """

    bits: Bits
    centroids: Bytes
    levels: Bytes
    unit: float
    gain: int = 1
    zero: int = 128

    def __post_init__(self) -> None:
        count, dim = self.centroids.shape
        check_dim(dim)
        fits = self.bits in get_args(Bits) and (0 if self.bits == 8 else 1) <= count <= MOST_CENTROIDS
        whole = type(self.gain) is type(self.zero) is int and 1 <= self.gain <= MOST_GAIN and 0 <= self.zero <= 255
        tables = len(self.levels)
        fits &= self.levels.shape == (tables, LEVELS) and tables in TABLES and (self.bits < 8 or tables == 1)
        fits &= tables * count <= MOST_CODES
        if not (fits and whole and np.isfinite(self.unit) and self.unit >= 0):
            raise BadInput(
                f"A codec of {self.bits} bits cannot have {count} centroids, unit {self.unit}, gain {self.gain} and "
                f"zero {self.zero}, or not levels of the shape {list(self.levels.shape)}. Train it again."
            )

    @property
    def dim(self) -> int:
        """Numbers in a token's vector."""
        return int(self.centroids.shape[1])

    @property
    def width(self) -> int:
        """Bytes of a token beside its code."""
        return self.dim * self.bits // 8

    @property
    def coded(self) -> bool:
        """Whether a token has a centroid."""
        return len(self.centroids) > 0

    @property
    def step(self) -> float:
        """What one of the whole numbers that scores are made of is worth, times the query's own step."""
        return self.unit / self.gain

    @cached_property
    def key(self) -> str:
        """Equal for codecs that give equal codes, and only for those: a SHA-256 as hex."""
        numbers = json.dumps([self.bits, self.dim, self.unit, self.gain, self.zero, self.levels.ravel().tolist()])
        return hashlib.sha256(numbers.encode() + self.centroids.tobytes()).hexdigest()

    def encode(self, values: Floats) -> tuple[Codes, Bytes]:
        """Unit vectors [tokens, dim] to codes [tokens] (zeros without centroids) and bytes [tokens, width]."""
        if values.ndim != 2 or values.shape[1] != self.dim:
            raise Mismatch(f"The codec takes tokens of {self.dim} numbers; got the shape {list(values.shape)}.")
        codes, packed = self.nearest(values), np.empty((len(values), self.width), np.uint8)
        for at in range(0, len(values), _BLOCK):
            here = slice(at, at + _BLOCK)
            packed[here], tables = self._packed(values[here], codes[here])
            codes[here] = codes[here] * np.uint16(len(self.levels)) + tables
        return codes, packed

    def nearest(self, values: Floats) -> Codes:
        """The centroid of largest cosine for each token; 0 where there are none."""
        if not self.coded:
            return np.zeros(len(values), np.uint16)
        with building_threads(len(values)):
            return np.asarray(self._search.search(np.ascontiguousarray(values), 1)[1][:, 0].astype(np.uint16))

    def decode(self, tokens: Tokens, places: Rows) -> Floats:
        """Some tokens as they are kept: float32 [places, dim]."""
        numbers = numbers_of(tokens, places).astype(np.float32)
        numbers -= np.float32(self.zero)
        if self.bits == 8:
            return np.asarray(numbers * np.float32(self.unit))
        numbers /= np.float32(self.gain)
        numbers += self.centroids[tokens.centroids(places)].astype(np.float32) - np.float32(128)
        return np.asarray(numbers * np.float32(self.unit))

    def _packed(self, values: Floats, centroids: Codes) -> tuple[Bytes, Codes]:
        """Bytes [tokens, width], and which table of levels each token has: [tokens]."""
        steps = values / np.float32(self.unit or 1)
        if self.bits == 8:
            packed = np.clip(np.rint(steps) + 128, 1, 255).astype(np.uint8)
            return np.asarray(packed), np.zeros(len(values), np.uint16)
        steps -= self.centroids[centroids].astype(np.float32) - np.float32(128)
        tables, levels = self._tables(steps), np.empty(values.shape, np.uint8)
        for table in range(len(self.levels)):
            there = np.flatnonzero(tables == table)
            levels[there] = self._levels(steps[there], values[there], table)
        planes = levels.reshape(len(values), 8 // self.bits, self.width)
        packed = planes[:, 0].copy()
        for plane in range(1, planes.shape[1]):
            packed |= planes[:, plane] << np.uint8(plane * self.bits)
        return packed, tables

    def _tables(self, left: Floats) -> Codes:
        """The table whose levels are nearest to what is left, [tokens, dim] in steps of the centroids: [tokens]."""
        if len(self.levels) == 1:
            return np.zeros(len(left), np.uint16)
        numbers, away = self._bytes(left), np.empty((len(self.levels), len(left)), np.int32)
        for table, kept in enumerate(self._level_of):
            lost = np.square(np.arange(256) - self.levels[table, kept].astype(np.int32)).astype(np.int32)
            away[table] = lost[numbers].sum(axis=1)
        return np.asarray(away.argmin(axis=0).astype(np.uint16))

    def _levels(self, left: Floats, values: Floats, table: int) -> Bytes:
        """The level of each number of what is left, [tokens, dim], in steps of the centroids: uint8.

        Not each number's nearest: an error along the token itself counts more than one across it, since the queries
        that matter point where the token does (Guo et al., 2020, "Accelerating Large-Scale Inference with Anisotropic
        Vector Quantization"). One number after the other takes the level that is best beside all others.
        """
        nearest, kept = self._level_of[table], self.levels[table, : 1 << self.bits]
        grid = (kept.astype(np.float32) - np.float32(self.zero)) / np.float32(self.gain)
        wanted, tokens = np.ascontiguousarray(left.T), np.ascontiguousarray(values.T)  # [dim, tokens]
        chosen = nearest[self._bytes(wanted)]
        errors = grid[chosen] - wanted
        along = np.einsum("dt,dt->t", tokens, errors)
        for _ in range(_SWEEPS):
            for number, token in enumerate(tokens):
                along -= token * errors[number]
                best = token * along
                best *= -_ALONG / (1 + _ALONG * token * token)
                best += wanted[number]
                chosen[number] = nearest[self._bytes(best)]
                errors[number] = grid[chosen[number]] - wanted[number]
                along += token * errors[number]
        return np.ascontiguousarray(chosen.T)

    def _bytes(self, steps: Floats) -> Bytes:
        """Steps of the centroids to the nearest bytes of levels."""
        return np.asarray(np.clip(np.rint(steps * np.float32(self.gain)) + self.zero, 0, 255).astype(np.uint8))

    @cached_property
    def _level_of(self) -> Bytes:
        """In each table the nearest level of every byte: uint8 [tables, 256]."""
        levels = self.levels[:, None, : 1 << self.bits].astype(np.int64)
        return np.asarray(np.abs(np.arange(256)[:, None] - levels).argmin(axis=2).astype(np.uint8))

    @cached_property
    def _search(self) -> Any:
        """FAISS over the centroids, brought back to length 1."""
        centroids = self.centroids.astype(np.float32) - np.float32(128)
        centroids /= np.maximum(np.sqrt(np.einsum("cd,cd->c", centroids, centroids))[:, None], 1)
        index = faiss().IndexFlatIP(self.dim)
        index.add(centroids)
        return index

    def save(self, disk: Disk, folder: Path) -> list[str]:
        """Write two files into an existing folder; gives their names. Nothing is synced."""
        from io import BytesIO

        file = BytesIO()
        np.save(file, self.centroids, allow_pickle=False)
        disk.write(folder / CENTROIDS, file.getvalue())
        facts = {"bits": self.bits, "dim": self.dim, "centroids": len(self.centroids), "levels": self.levels.tolist()}
        facts |= {"unit": self.unit, "gain": self.gain, "zero": self.zero}
        disk.write(folder / CODEC, (json.dumps(facts) + "\n").encode())
        return [CODEC, CENTROIDS]

    @classmethod
    def open(cls, folder: Path) -> "Codec":
        """Read what `save` wrote; Damaged where the files do not fit each other."""
        try:
            facts = json.loads((folder / CODEC).read_bytes())
            centroids = np.load(folder / CENTROIDS, allow_pickle=False)
            if centroids.dtype != np.uint8 or centroids.shape != (facts["centroids"], facts["dim"]):
                raise Damaged(f"{str(folder / CENTROIDS)!r} does not hold the centroids {CODEC} names. Run: retr check")
            levels = np.array(facts["levels"], np.uint8).reshape(-1, LEVELS)  # one table may stand there alone
            return cls(facts["bits"], centroids, levels, facts["unit"], facts["gain"], facts["zero"])
        except (ValueError, OverflowError, KeyError, TypeError, EOFError, OSError, BadInput) as error:
            raise Damaged(f"The codec {str(folder)!r} cannot be read ({error}). Run: retr check") from None
