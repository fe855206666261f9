"""Many byte strings looked for at once in many bytes: what the proof of erasure is made with.

Every 8 bytes of the data, at every offset, are looked up in a table of one 8-byte word of each string (the idea of
Rabin and Karp, 1987, for many patterns); what is found there is compared in full. About 100 MB a second on one core.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORTEST = 8
LONGEST = 64
"""Bytes of a string that are compared; longer ones are cut."""

_TABLE_BITS = 20
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1 << 20
_ZSTD = b"\x28\xb5\x2f\xfd"

Bytes = NDArray[np.uint8]


def searchable(data: bytes) -> bool:
    """Whether finding the string would prove something: it is long enough, and not one or two characters repeated."""
    return len(data) >= SHORTEST and len(set(data[:LONGEST])) > 2


class Needles:
    """Searchable strings, numbered as given."""

    def __init__(self, strings: Sequence[bytes]) -> None:
        cut = [string[:LONGEST] for string in strings]
        self._sizes = np.array([len(string) for string in cut], np.int64)
        self._width = int(self._sizes.max(initial=SHORTEST))
        self._whole = np.zeros((len(cut), self._width), np.uint8)
        for number, string in enumerate(cut):
            self._whole[number, : len(string)] = np.frombuffer(string, np.uint8)
        self._offsets, keys = _rarest(self._whole, self._sizes)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._table = np.zeros(1 << _TABLE_BITS, np.bool_)
        self._table[_slots(self._keys)] = True

    def __len__(self) -> int:
        return len(self._sizes)

    def found_in(self, data: Bytes) -> NDArray[np.bool_]:
        """Which of the strings occur in the data, a contiguous array of bytes; shape (strings,)."""
        found = np.zeros(len(self), np.bool_)
        if not len(self):
            return found
        for start in range(0, max(len(data) - SHORTEST + 1, 0), _BLOCK):
            block = np.ascontiguousarray(data[start : start + _BLOCK + self._width - 1])
            for shift in range(8):
                self._search(block, shift, found)
        return found

    def _search(self, block: Bytes, shift: int, found: NDArray[np.bool_]) -> None:
        words = block[shift : shift + (len(block) - shift) // 8 * 8].view("<u8")
        near = np.flatnonzero(self._table[_slots(words)])
        if not len(near):
            return
        first = np.searchsorted(self._keys, words[near], "left")
        counts = np.searchsorted(self._keys, words[near], "right") - first
        places = np.repeat(near * 8 + shift, counts)
        ends = np.cumsum(counts)
        needles = self._order[np.arange(ends[-1]) - np.repeat(ends - counts, counts) + np.repeat(first, counts)]
        begins = places - self._offsets[needles]
        inside = (begins >= 0) & (begins + self._sizes[needles] <= len(block)) & ~found[needles]
        needles, begins = needles[inside], begins[inside]
        columns = np.arange(self._width)
        there = block[np.minimum(begins[:, None] + columns, len(block) - 1)] == self._whole[needles]
        there |= columns >= self._sizes[needles][:, None]
        found[needles[there.all(axis=1)]] = True


def _slots(words: NDArray[Any]) -> NDArray[Any]:
    return (words * _SPREAD) >> np.uint64(64 - _TABLE_BITS)


def _rarest(strings: Bytes, sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """For each string the 8 bytes that fewest others have, and where they stand: what many share leads to nothing."""
    words = np.lib.stride_tricks.sliding_window_view(strings, 8, axis=1)
    words = np.ascontiguousarray(words).view("<u8")[..., 0]
    inside = np.arange(words.shape[1]) <= (sizes - 8)[:, None]
    _, which, counts = np.unique(words[inside], return_inverse=True, return_counts=True)
    common = np.full(words.shape, np.iinfo(np.int64).max)
    common[inside] = counts[which]
    offsets = np.argmin(common, axis=1)
    return offsets, words[np.arange(len(strings)), offsets]


def unpacked(data: Bytes) -> Iterator[Bytes]:
    """The content of every zstd frame in the data, such as a Parquet file's pages, those of no column too.

    Small frames come together, eight zeros between them. What only looks like a frame, or cannot be decompressed, is
    passed over.
    """
    waiting, size = [], 0
    for content in _frames(data.tobytes()):
        waiting.append(content)
        size += len(content)
        if size >= _BLOCK:
            yield joined(waiting)
            waiting, size = [], 0
    if waiting:
        yield joined(waiting)


def joined(values: Iterable[bytes]) -> Bytes:
    """Byte strings one after the other, eight zeros between them."""
    return np.frombuffer(bytes(8).join(values), np.uint8)


def _frames(data: bytes) -> Iterator[bytes]:
    import pyarrow as pa

    at = data.find(_ZSTD)
    while at >= 0:
        end = _frame_end(data, at)
        if end:
            try:
                content = pa.CompressedInputStream(pa.BufferReader(data[at:end]), "zstd").read()
            except OSError:
                end = 0
            else:
                yield content
        at = data.find(_ZSTD, end or at + 1)


def _frame_end(data: bytes, at: int) -> int:
    """One past a zstd frame's last byte, by RFC 8878, section 3.1.1; 0 where there is no whole frame."""
    if at + 6 > len(data):
        return 0
    descriptor = data[at + 4]
    single = descriptor >> 5 & 1
    content_size = (single, 2, 4, 8)[descriptor >> 6]
    at += 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content_size
    while at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        kind, size = header >> 1 & 3, header >> 3
        if kind == 3:
            return 0
        at += 3 + (1 if kind == 1 else size)
        if header & 1:
            at += 4 * (descriptor >> 2 & 1)
            return at if at <= len(data) else 0
    return 0
