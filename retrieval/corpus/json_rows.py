"""JSON lines: one object a line."""

import json
from collections.abc import Iterator
from typing import Any

from retr.retrieval.corpus.lines import read_lines
from retr.retrieval.corpus.opening import open_bytes
from retr.retrieval.corpus.records import RowReader
from retr.retrieval.corpus.report import Problem, Rejected
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document


def read_jsonl(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """One document a line; blank lines do not count."""
    rows = RowReader(file, settings, convert=_as_it_is)
    with open_bytes(file) as stream:
        for line in read_lines(stream, file, settings):
            if isinstance(line, Problem):
                yield line
            elif not line.isspace():
                yield _document(rows, line, file)


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object that a text is; Rejected with the reason when it is none. NaN and Infinity become null."""
    try:
        row = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Rejected(f"broken JSON: {error.msg} at column {error.pos + 1}") from None
    except RecursionError:
        raise Rejected("broken JSON: nested too deeply") from None
    except ValueError as error:
        raise Rejected(f"broken JSON: {error}") from None
    return check_row(row, text)


def check_row(row: Any, text: str) -> dict[str, Any]:
    """The row, or Rejected when it is no object or (as an escape can make it) not valid Unicode."""
    if not isinstance(row, dict):
        kind = {"list": "a list", "str": "a text", "NoneType": "null"}.get(
            type(row).__name__, f"a {type(row).__name__}"
        )
        raise Rejected(f"not a JSON object but {kind}")
    if "\\u" in text:
        try:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise Rejected("not valid Unicode: a lone surrogate") from None
    return row


def _document(rows: RowReader, line: str, file: SourceFile) -> Document | Problem:
    try:
        return rows.document(parse_object(line.rstrip()), file.line or 0)
    except Rejected as error:
        return file.problem(str(error))


def _as_it_is(value: Any) -> Any:
    return value


def _no_constant(name: str) -> None:
    return None
