"""Vectors on disk as float32, float16, int8 or sign bits: written as they come, read through memory maps.

dense.npy          float32 or float16 [rows, dim]; int8 codes [rows, dim]; or sign bits, uint8 [rows, ceil(dim / 8)]
dense-scales.npy   float32 [rows], for int8 and binary: what a vector's codes are multiplied by

Coding what was decoded gives the same bytes again, so merging segments any number of times loses nothing more.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.settings import Storage
from retr.index.disk.fsio import Disk
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged

DENSE, SCALES = "dense.npy", "dense-scales.npy"

Codes = NDArray[Any]
_SMALLEST = np.float32(2.0**-100)
"""Smaller scales would lose bits as denormal numbers; such a vector is stored as zero."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How vectors become codes: `encode` gives codes and, for some, one scale a vector; `decode` takes both and dim."""

    dtype: str
    encode: Callable[[Floats], tuple[Codes, Floats | None]]
    decode: Callable[[Codes, Floats, int], Floats]
    scaled: bool = False
    packed: bool = False

    def width(self, dim: int) -> int:
        """Columns of dense.npy."""
        return -(-dim // 8) if self.packed else dim


def _plain(codes: Codes, scales: Floats, dim: int) -> Floats:
    return codes


def _halves(values: Floats) -> tuple[Codes, None]:
    limit = float(np.finfo(np.float16).max)
    if len(values) and float(np.abs(values).max()) > limit:
        raise BadInput(
            f"A vector holds a number beyond {limit:g}, the largest of float16. Use storage float32 or int8."
        )
    return values.astype("<f2"), None


def _from_halves(codes: Codes, scales: Floats, dim: int) -> Floats:
    """The bits moved into place and multiplied by 2^112: much faster than `astype`, and exact for finite numbers."""
    bits = np.ascontiguousarray(codes).view("<i2").astype(np.int32)
    bits <<= 13
    bits &= np.int32(-0x70002000)  # 0x8fffe000: drops what the sign's extension left above the exponent
    values = bits.view(np.float32)
    values *= np.float32(2.0**112)
    return values


def _bytes(values: Floats) -> tuple[Codes, Floats]:
    """Codes from -127 to 127. Scales keep 16 significant bits: 127 x scale is then exact and comes back as it was."""
    scales = np.abs(values).max(axis=1, initial=0).astype(np.float32) / np.float32(127)
    scales = ((scales.view(np.uint32) + np.uint32(0xFF)) & np.uint32(0xFFFFFF00)).view(np.float32)
    scales = np.where(scales < _SMALLEST, np.float32(0), scales)
    divisors = np.where(scales == 0, np.float32(np.inf), scales)
    return np.rint(values / divisors[:, None]).astype(np.int8), scales


def _from_bytes(codes: Codes, scales: Floats, dim: int) -> Floats:
    values = codes.astype(np.float32)
    values *= scales[:, None]
    return values


def _signs(values: Floats) -> tuple[Codes, Floats]:
    """One bit a number, and the size of number that gives the vector its length back: 1 / sqrt(dim) at length 1."""
    wide = values.astype(np.float64)
    scales = np.sqrt((wide * wide).mean(axis=1)).astype(np.float32)
    return np.packbits((values > 0) & (scales > 0)[:, None], axis=1), scales


def _from_signs(codes: Codes, scales: Floats, dim: int) -> Floats:
    values = np.unpackbits(codes, axis=1, count=dim).astype(np.float32)
    values -= np.float32(0.5)
    values *= 2 * scales[:, None]
    return values


CODECS: dict[Storage, Codec] = {
    "float32": Codec("<f4", lambda values: (values, None), _plain),
    "float16": Codec("<f2", _halves, _from_halves),
    "int8": Codec("|i1", _bytes, _from_bytes, scaled=True),
    "binary": Codec("|u1", _signs, _from_signs, scaled=True, packed=True),
}


def write_vectors(
    disk: Disk, folder: Path, blocks: Iterable[Floats], dim: int, storage: Storage
) -> tuple[int, list[str]]:
    """Write float32 blocks [n, dim] into an existing folder; gives the rows and the files' names. Nothing is synced."""
    codec = CODECS[storage]
    names = [DENSE, SCALES] if codec.scaled else [DENSE]
    shapes: list[tuple[str, tuple[int, ...]]] = [(codec.dtype, (codec.width(dim),)), ("<f4", ())]
    for name, (dtype, tail) in zip(names, shapes, strict=False):
        disk.write(folder / name, _header(dtype, (0, *tail)))
    rows = 0
    with (folder / names[0]).open("r+b") as dense, (folder / names[-1]).open("r+b") as other:
        files = [dense, other][: len(names)]
        for file in files:
            file.seek(0, 2)
        for block in blocks:
            if block.ndim != 2 or block.shape[1] != dim:
                raise BadInput(f"Vectors to store need the shape [rows, {dim}]; got {list(block.shape)}.")
            for file, values in zip(files, codec.encode(block), strict=False):
                file.write(np.ascontiguousarray(values).data.cast("B") if len(block) else b"")
            rows += len(block)
        for file, (dtype, tail) in zip(files, shapes, strict=False):
            file.seek(0)
            file.write(_header(dtype, (rows, *tail)))
    return rows, names


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """A .npy header. NumPy leaves room for the number of rows to grow, so all of one file's have the same length."""
    from io import BytesIO

    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": dtype})
    return file.getvalue()


class StoredVectors:
    """The vectors of one part as they lie on disk; float32 comes back as a view, the others decoded."""

    def __init__(self, codes: Codes, scales: Floats, dim: int, storage: Storage) -> None:
        self._codec = CODECS[storage]
        self._codes, self._scales, self._dim = codes, scales, dim
        self.plain: Floats | None = codes if storage == "float32" else None

    @classmethod
    def open(cls, folder: Path, rows: int, dim: int, storage: Storage) -> "StoredVectors":
        """Map the files; Damaged where they do not hold `rows` vectors of `dim` numbers."""
        codec = CODECS[storage]
        codes = _mapped(folder / DENSE, codec.dtype, (rows, codec.width(dim)))
        scales = _mapped(folder / SCALES, "<f4", (rows,)) if codec.scaled else np.empty(0, np.float32)
        return cls(codes, scales, dim, storage)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._dim

    def span(self, start: int, stop: int) -> Floats:
        """The rows from start to stop: float32 [stop - start, dim]."""
        return self._codec.decode(self._codes[start:stop], self._scales[start:stop], self._dim)

    def take(self, rows: NDArray[np.int64]) -> Floats:
        """A copy of some rows, in the order given: float32 [rows, dim]."""
        scales = self._scales.take(rows) if self._codec.scaled else self._scales
        return self._codec.decode(self._codes.take(rows, axis=0), scales, self._dim)

    def blocks(self, rows: int) -> Iterator[Floats]:
        """All rows in order, `rows` at a time."""
        for start in range(0, len(self), rows):
            yield self.span(start, min(start + rows, len(self)))


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A memory-mapped .npy file as a plain array, since slicing a `memmap` costs more than a search's other steps."""
    if not shape[0]:
        return np.empty(shape, dtype)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise Damaged(f"{str(path)!r} cannot be read ({error}). Run: retr check") from None
    if values.shape != shape or values.dtype != np.dtype(dtype) or not values.flags.c_contiguous:
        raise Damaged(f"{str(path)!r} holds {values.dtype} {values.shape}, not {dtype} {shape}. Run: retr check")
    return np.asarray(values)
