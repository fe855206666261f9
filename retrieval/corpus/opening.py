"""A source file as a stream of bytes: counted, decompressed, and stopped when it unpacks to far more than it is."""

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import Any, BinaryIO

from retr.retrieval.corpus.report import Rejected
from retr.retrieval.corpus.sources import SourceFile

BUFFER_BYTES = 1 << 16
MAX_RATIO = 200
RATIO_COUNTS_FROM_BYTES = 2**30
"""Deflate cannot exceed about 1,030 to 1; honest text stays below 50. Small files may be as dense as they like."""

DAMAGE = (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
"""What the decompressors raise about a damaged or cut-off file (bz2 and zstd: OSError)."""


@contextmanager
def open_bytes(file: SourceFile) -> Iterator[BufferedReader]:
    """The file's bytes, decompressed. `file.consumed` follows what was taken from the disk."""
    if file.path is None:
        # Kept: what one reader has peeked at, the next must still find.
        file.stream = file.stream or BufferedReader(_Counted(sys.stdin.buffer, file), BUFFER_BYTES)
        yield file.stream
        return
    with file.path.open("rb") as disk:
        counted: BufferedReader = BufferedReader(_Counted(disk, file), BUFFER_BYTES)
        if not file.compression:
            yield counted
            return
        with _decompressor(file.compression, counted) as unpacked:
            bounded: BufferedReader = BufferedReader(_Bounded(unpacked, file), BUFFER_BYTES)
            yield bounded


def read_whole(file: SourceFile, limit: int) -> bytes:
    """All bytes of a file; Rejected when there are none, or more than `limit`."""
    with open_bytes(file) as stream:
        data = stream.read(limit + 1)
    if not data:
        raise Rejected("the file is empty")
    if len(data) > limit:
        size = f"{file.path.stat().st_size:,}" if file.path and not file.compression else f"over {limit:,}"
        raise Rejected(
            f"{size} bytes; at most {limit:,} are read as one document. Split it, or raise --max-document-bytes"
        )
    return data


def _decompressor(compression: str, source: Any) -> Any:
    if compression == ".zst":
        import pyarrow

        return pyarrow.CompressedInputStream(pyarrow.PythonFile(source, mode="r"), "zstd")
    if compression == ".gz":
        return gzip.GzipFile(fileobj=source)
    return bz2.BZ2File(source) if compression == ".bz2" else lzma.LZMAFile(source)


class _Counted(io.RawIOBase):
    """Reads through to a stream and counts what it gave."""

    def __init__(self, source: BinaryIO, file: SourceFile) -> None:
        self._source = source
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self._file.consumed += len(data)
        return len(data)


class _Bounded(io.RawIOBase):
    """Reads through to a decompressor and refuses a file that unpacks without end."""

    def __init__(self, source: Any, file: SourceFile) -> None:
        self._source = source
        self._file = file
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self._given += len(data)
        if self._given > max(RATIO_COUNTS_FROM_BYTES, MAX_RATIO * self._file.consumed):
            raise Rejected(
                f"unpacks to more than {MAX_RATIO} times its size and {RATIO_COUNTS_FROM_BYTES:,} bytes;"
                " unpack it yourself if you trust it"
            )
        return len(data)
