"""A stream of bytes as lines of text with their numbers; a line too long or not decodable is a Problem, not a stop."""

import codecs
import io
from collections.abc import Iterator
from typing import Any

from retr.retrieval.corpus.decoding import encoding_of, undecodable
from retr.retrieval.corpus.opening import BUFFER_BYTES
from retr.retrieval.corpus.report import Problem
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile

MAX_LINE_BYTES = 64 * 2**20


def read_lines(stream: io.BufferedReader, file: SourceFile, settings: ReadSettings) -> Iterator[str | Problem]:
    """The lines with their ends, one by one; `file.line` is the number of the one just given."""
    name = encoding_of(stream.peek(4), settings)
    if name.startswith(("utf-16", "utf-32")):
        # Their line ends are not the one byte that readline() looks for.
        stream = io.BufferedReader(_AsUtf8(stream, name), BUFFER_BYTES)
        name = "utf-8-sig"
    file.line = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        file.line += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            _skip_line(stream)
            yield file.problem(f"the line is longer than {MAX_LINE_BYTES:,} bytes")
            continue
        try:
            yield line.decode(name)
        except UnicodeDecodeError as error:
            yield file.problem(undecodable(error, name), "repaired")
            yield line.decode(name, "replace")
        if file.line == 1 and name == "utf-8-sig":
            name = "utf-8"


def _skip_line(stream: io.BufferedReader) -> None:
    while line := stream.readline(BUFFER_BYTES):
        if line.endswith(b"\n"):
            return


class _AsUtf8(io.RawIOBase):
    """A UTF-16 or UTF-32 stream, recoded piece by piece."""

    def __init__(self, source: io.BufferedReader, name: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(name)()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._source.read(BUFFER_BYTES)
            self._ready = self._decoder.decode(data, final=not data).encode("utf-8", "surrogatepass")
            if not data:
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
