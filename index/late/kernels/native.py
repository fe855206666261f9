"""The compiled kernels: found, chosen for this processor, and called through ctypes. They may be missing."""

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.late.kernels.arrays import Bytes, Kernels, Numbers, Products, Rows, Tokens, lanes_of, wide_of
from retr.index.late.kernels.reference import Numpy
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput

SETTING = "RETR_KERNELS"
_NEAREST = {"avx512-bf16": "avx512-vnni"}
"""Names that the setting has for the encoder's kernels alone."""
_LINE = 64


class _Tokens(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("codes", "residuals", "offsets", "levels")),
        *((name, ctypes.c_int64) for name in ("dim", "bits", "shift")),
    )


class _Query(ctypes.Structure):
    _fields_ = (("numbers", ctypes.c_void_p), ("count", ctypes.c_int64), ("dim", ctypes.c_int64))


_P, _N = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = {
    "products": (ctypes.c_char_p, _P, _P, _N, _P),
    "tables": (ctypes.c_char_p, _P, _P, _N, _N, _N, _P, _P),
    "scores": (ctypes.c_char_p, _P, _P, _P, _P, _N, _P),
    "scan": (ctypes.c_char_p, _N, _P, _P, _P, _N, _P),
    "floats": (ctypes.c_char_p, _P, _N, _P, _P, _N, _N, _P),
    "best": (_P, _N, _N, _N, _P),
}


@cache
def library() -> Any:
    """The compiled library, or None where it was not built."""
    folder = Path(__file__).parent
    file = next((path for suffix in EXTENSION_SUFFIXES if (path := folder / f"_late{suffix}").is_file()), None)
    if file is None:
        return None
    loaded = ctypes.CDLL(str(file))
    loaded.retr_late_kernels.restype = ctypes.c_char_p
    for name, arguments in _ARGUMENTS.items():
        getattr(loaded, f"retr_late_{name}").argtypes = arguments
    return loaded


def kernels() -> tuple[str, ...]:
    """The instruction sets that were built and that this processor has, best first; `scalar` runs on any."""
    found: list[str] = []
    while library() is not None and (name := library().retr_late_kernels(len(found))) is not None:
        found.append(name.decode())
    return tuple(found)


def chosen_kernels() -> Kernels:
    """The best kernels, the ones that RETR_KERNELS names, or numpy: with "off", or where none were built."""
    asked, found = os.environ.get(SETTING, "").strip(), kernels()
    name = asked if asked in found else _NEAREST.get(asked, asked)
    if asked == "off" or not (found or asked):
        return Numpy()
    if name and name not in found:
        here = ", ".join(found) or "none"
        raise BadInput(f"{SETTING} is {asked!r}; this machine has {here}, and 'off' uses none. Unset it for the best.")
    return Compiled(name or found[0])


@dataclass(frozen=True, slots=True)
class Compiled:
    """See `Kernels`. Numbers are the numpy twin's, bit by bit; `floats` alone differs by rounding."""

    name: str

    def products(self, query: Numbers, rows: Bytes) -> Products:
        """The centroids' products."""
        query, rows = np.ascontiguousarray(query), np.ascontiguousarray(rows)
        out = _aligned((len(rows), lanes_of(len(query))), np.int32)
        self._call("products", _query(query), rows.ctypes.data, len(rows), out.ctypes.data)
        return out

    def tables(self, query: Numbers, products: Products, gain: int, zero: int) -> tuple[Products, Bytes]:
        """The two tables."""
        query = np.ascontiguousarray(query)
        bases = _aligned(products.shape, np.int32)
        table = _aligned((len(products), wide_of(len(query))), np.uint8)
        places = (bases.ctypes.data, table.ctypes.data)
        self._call("tables", _query(query), products.ctypes.data, len(products), gain, zero, *places)
        return bases, table

    def scores(self, query: Numbers, tokens: Tokens, bases: Products, rows: Rows | None) -> Rows:
        """MaxSim in whole numbers."""
        query, bases = np.ascontiguousarray(query), np.ascontiguousarray(bases)
        out = np.empty(_count(tokens, rows), np.int64)
        given = (bases.ctypes.data, _at(rows), len(out), out.ctypes.data)
        self._call("scores", _query(query), _tokens(tokens), *given)
        return out

    def scan(self, query_tokens: int, tokens: Tokens, table: Bytes, rows: Rows | None) -> NDArray[np.uint32]:
        """The scan of all codes."""
        out = np.empty(_count(tokens, rows), np.uint32)
        self._call("scan", query_tokens, _tokens(tokens), table.ctypes.data, _at(rows), len(out), out.ctypes.data)
        return out

    def floats(self, query: Floats, tokens: TokenVectors) -> NDArray[np.float64]:
        """MaxSim in float32, the last sum in float64."""
        query, values = np.ascontiguousarray(query), np.ascontiguousarray(tokens.values)
        offsets, out = np.ascontiguousarray(tokens.offsets), np.empty(len(tokens), np.float64)
        given = (values.ctypes.data, offsets.ctypes.data, len(out), tokens.dim, out.ctypes.data)
        self._call("floats", query.ctypes.data, len(query), *given)
        return out

    def best(self, scores: NDArray[np.uint32], most: int, wanted: int) -> Rows:
        """The best places, rising."""
        out = np.empty(min(wanted, len(scores)), np.int64)
        _checked(library().retr_late_best(scores.ctypes.data, len(scores), most, len(out), out.ctypes.data), self.name)
        return out

    def _call(self, name: str, *given: Any) -> None:
        held = [ctypes.byref(one) if isinstance(one, ctypes.Structure) else one for one in given]
        _checked(getattr(library(), f"retr_late_{name}")(self.name.encode(), *held), self.name)


def _checked(code: int, name: str) -> None:
    if code == 2:
        raise MemoryError("No memory for a late-interaction search.")
    if code:
        raise BadInput(f"There are no kernels named {name!r} on this machine; it has {', '.join(kernels())}.")


def _query(query: Numbers) -> _Query:
    return _Query(query.ctypes.data, *query.shape)


def _tokens(tokens: Tokens) -> _Tokens:
    arrays = (tokens.codes, tokens.residuals, tokens.offsets, tokens.levels)
    return _Tokens(*(_at(one) for one in arrays), tokens.dim, tokens.bits, tokens.shift)


def _at(array: NDArray[Any] | None) -> int | None:
    if array is None:
        return None
    assert array.flags.c_contiguous, "a kernel reads an array as it lies in memory"
    return array.ctypes.data


def _count(tokens: Tokens, rows: Rows | None) -> int:
    return len(tokens.offsets) - 1 if rows is None else len(rows)


def _aligned(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """An empty array that begins with a cache line, so that a row of 32 bytes never lies in two."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    memory = np.empty(size + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return np.asarray(memory[start : start + size].view(kind).reshape(shape))
