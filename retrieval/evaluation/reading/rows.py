"""Rows of a test set: TSV and CSV with a header line, JSON lines, or one JSON list; each row knows its line."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retr.retrieval.corpus.formats import split_suffix
from retr.retrieval.corpus.json_rows import parse_object
from retr.retrieval.corpus.lines import read_lines
from retr.retrieval.corpus.opening import DAMAGE, open_bytes
from retr.retrieval.corpus.report import Problem, Rejected, one_line
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile, check_exists
from retr.retrieval.corpus.tables import guess_delimiter
from retr.retrieval.errors import BadInput

KINDS = (".tsv", ".csv", ".jsonl", ".ndjson", ".json")
_MAX_LIST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row by column, and where it stands, as `file:line`, for messages."""

    cells: Mapping[str, Any]
    where: str

    def text(self, name: str) -> str:
        """A cell that must be a text with something in it."""
        value = self.cells.get(name)
        if not isinstance(value, str) or not value.strip():
            raise BadInput(f"{self.where}: no text in {name!r}. Give every row a text, or take the row out.")
        return value.strip()

    def refuse(self, reason: str) -> BadInput:
        """The error for something wrong with this row."""
        return BadInput(f"{self.where}: {reason}")


def read_rows(path: str | Path) -> list[Row]:
    """All rows of a file, gzipped or not; at least one.

    TSV cells hold no tabs and quotation marks are just characters; CSV cells may be quoted. NotFound without the file;
    BadInput names file and line of the first thing wrong.
    """
    file = _file(str(path))
    try:
        rows = list(_read(file))
    except (Rejected, csv.Error) as error:
        raise BadInput(f"{str(file.problem(str(error))).rstrip('.')}. Put the file right.") from None
    except (*DAMAGE, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{one_line(file.shown)} cannot be read: {error}. Copy or make it again.") from None
    if not rows:
        raise BadInput(f"{one_line(file.shown)}: no rows in it. Give one row for each example.")
    return rows


def column(rows: Sequence[Row], known: Sequence[str], what: str) -> str:
    """The first of the known columns that the first row has, or BadInput with the columns there are."""
    found = found_column(rows, known)
    if found is None:
        raise rows[0].refuse(f"no {what} ({', '.join(known)}); the row has {', '.join(map(str, rows[0].cells))}.")
    return found


def found_column(rows: Sequence[Row], known: Sequence[str]) -> str | None:
    """The first of the known columns that the first row has; None when it has none of them."""
    return next((name for name in known if name in rows[0].cells), None)


def _file(path: str) -> SourceFile:
    found = check_exists(path)
    suffix, compression = split_suffix(found.name)
    if found.is_dir() or suffix not in KINDS:
        raise BadInput(
            f"{one_line(repr(path))} is no table that is read here. Kinds: {', '.join(KINDS)}, also with .gz."
        )
    return SourceFile(found, str(found), found.name, found.name, suffix, compression)


def _read(file: SourceFile) -> Iterator[Row]:
    with open_bytes(file) as stream:
        if file.suffix == ".json":
            yield from _listed(stream.read(_MAX_LIST_BYTES), file)
            return
        lines = _lines(stream, file)
        if file.suffix in (".jsonl", ".ndjson"):
            for line in lines:
                yield Row(parse_object(line), _where(file))
        else:
            yield from _table(lines, file)


def _lines(stream: Any, file: SourceFile) -> Iterator[str]:
    for line in read_lines(stream, file, ReadSettings()):
        if isinstance(line, Problem):
            raise Rejected(line.reason)
        if not line.isspace():
            yield line


def _table(lines: Iterator[str], file: SourceFile) -> Iterator[Row]:
    first = next(lines, "")
    separator = "\t" if file.suffix == ".tsv" else guess_delimiter(first)
    header = [name.strip() for name in first.rstrip("\r\n").split(separator)]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise Rejected(f"the header names {', '.join(map(repr, twice))} more than once")
    for cells in _cells(lines, file, separator):
        if len(cells) != len(header):
            raise Rejected(f"{len(cells)} cells, but the header has {len(header)}")
        yield Row(dict(zip(header, cells, strict=True)), _where(file))


def _cells(lines: Iterator[str], file: SourceFile, separator: str) -> Iterator[list[str]]:
    if file.suffix == ".csv":
        yield from csv.reader(lines, delimiter=separator, strict=True)
    else:
        yield from (line.rstrip("\r\n").split(separator) for line in lines)


def _listed(data: bytes, file: SourceFile) -> Iterator[Row]:
    try:
        loaded = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Rejected(f"not valid JSON: {error}") from None
    if not isinstance(loaded, list) or not all(isinstance(item, dict) for item in loaded):
        raise Rejected("the JSON is no list of objects")
    for number, item in enumerate(loaded, start=1):
        yield Row(item, f"{one_line(file.shown)}, item {number}")


def _where(file: SourceFile) -> str:
    return f"{one_line(file.shown)}:{file.line}"
