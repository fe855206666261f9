"""A JSON file that is a list of records (or records one after the other), parsed piece by piece."""

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from retr.retrieval.corpus.decoding import encoding_of
from retr.retrieval.corpus.json_rows import check_row
from retr.retrieval.corpus.lines import MAX_LINE_BYTES
from retr.retrieval.corpus.opening import BUFFER_BYTES, open_bytes
from retr.retrieval.corpus.records import RowReader
from retr.retrieval.corpus.report import Problem, Rejected
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document

_BLANK = re.compile(r"[ \t\r\n]*")


def read_json(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """One document a record; the ids of records without one end in their number in the list."""
    rows = RowReader(file, settings, convert=lambda value: value, counter="record")
    with open_bytes(file) as stream:
        name = encoding_of(stream.peek(4), settings)
        for number, (row, text) in enumerate(_Values(stream, name, file), start=1):
            try:
                yield rows.document(check_row(row, text), number)
            except Rejected as error:
                yield file.problem(str(error))


class _Values:
    """The values of a list, or of a plain sequence, held one at a time; `file.line` is where the value starts."""

    def __init__(self, stream: io.BufferedReader, encoding: str, file: SourceFile) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._json = json.JSONDecoder(parse_constant=lambda name: None)
        self._file = file
        self._text = ""
        self._position = 0
        self._ended = False
        self._line = 1

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        in_list = self._next_character() == "["
        if in_list:
            self._advance(self._position + 1)
        while (character := self._next_character()) and not (in_list and character == "]"):
            self._file.line = self._line
            yield self._value()
            if in_list and self._next_character() == ",":
                self._advance(self._position + 1)
            elif in_list and self._next_character() != "]":
                self._file.line = self._line
                raise Rejected("broken JSON: after a record stands neither a comma nor the end of the list")

    def _next_character(self) -> str:
        """The next character that is not white space, or an empty string at the end."""
        while True:
            self._advance(_BLANK.match(self._text, self._position).end())  # type: ignore[union-attr]
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read(BUFFER_BYTES):
                return ""

    def _value(self) -> tuple[Any, str]:
        wanted = BUFFER_BYTES
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                reason = f"broken JSON: {error.msg}"
            except (RecursionError, ValueError) as error:
                raise Rejected(f"broken JSON: {error}") from None
            else:
                # A number could go on in what is not read yet; an object or list cannot.
                if self._text[end - 1] in '}]"' or end < len(self._text) or self._ended:
                    source = self._text[self._position : end]
                    self._advance(end)
                    return value, source
                reason = "broken JSON"
            if len(self._text) - self._position > MAX_LINE_BYTES:
                raise Rejected(f"a record of more than {MAX_LINE_BYTES:,} characters, or broken JSON that never ends")
            # Twice as much each time, or a long record would be parsed anew for every block.
            if not self._read(wanted):
                raise Rejected(reason)
            wanted *= 2

    def _read(self, size: int) -> bool:
        """Append the next block; False at the end of the file."""
        if self._ended:
            return False
        data = self._stream.read(size)
        self._ended = not data
        self._text = self._text[self._position :] + self._decoder.decode(data, final=self._ended)
        self._position = 0
        return True

    def _advance(self, position: int) -> None:
        self._line += self._text.count("\n", self._position, position)
        self._position = position
