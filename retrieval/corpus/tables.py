"""CSV and TSV with a header line."""

import csv
from collections.abc import Iterator
from itertools import chain

from retr.retrieval.corpus.lines import read_lines
from retr.retrieval.corpus.opening import open_bytes
from retr.retrieval.corpus.records import RowReader, typed_cell
from retr.retrieval.corpus.report import Problem, Rejected
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document

DELIMITERS = (",", "\t", ";", "|")


def read_csv(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """One document a row; cells may be quoted and hold line ends. The delimiter is the header's, unless given."""
    return _read_table(file, settings, quoting=csv.QUOTE_MINIMAL)


def read_tsv(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """One document a line; tabs separate, and quotation marks are just characters."""
    return _read_table(file, settings, quoting=csv.QUOTE_NONE)


def _read_table(file: SourceFile, settings: ReadSettings, *, quoting: int) -> Iterator[Document | Problem]:
    # A limit of the whole process, so it is only ever raised: the module's own 128 KiB are less than a long text.
    csv.field_size_limit(max(csv.field_size_limit(), 4 * settings.max_document_bytes))
    with open_bytes(file) as stream:
        pending: list[Problem] = []
        lines = _Lines(file, read_lines(stream, file, settings), pending)
        first = next(lines, "")
        delimiter = settings.separator or ("\t" if quoting == csv.QUOTE_NONE else guess_delimiter(first))
        table = csv.reader(chain([first], lines), delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
        rows = _rows(table, file)
        yield from _take(pending)
        header = next(rows, [])
        if isinstance(header, Problem) or not first:
            yield from [header] if isinstance(header, Problem) else []
            return
        names = _header(header)
        reader = RowReader(file, settings, convert=typed_cell if settings.typed_csv else str)
        for number, row in enumerate(rows, start=1):
            yield from _take(pending)
            yield row if isinstance(row, Problem) else _document(reader, names, row, number)
        yield from _take(pending)


def guess_delimiter(header: str) -> str:
    """The one of , tab ; | that the header line has most of outside of quotes; the comma when it has none."""
    bare = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=bare.count)


class _Lines:
    """The texts of lines for the csv module; the problems among them are put aside."""

    def __init__(self, file: SourceFile, lines: Iterator[str | Problem], pending: list[Problem]) -> None:
        self._lines = lines
        self._pending = pending

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        for line in self._lines:
            if not isinstance(line, Problem):
                return line
            self._pending.append(line)
        raise StopIteration


def _rows(table: Iterator[list[str]], file: SourceFile) -> Iterator[list[str] | Problem]:
    """Rows that are not blank; `file.line` is where each starts. What the csv module refuses is a Problem."""
    start = 1
    while True:
        try:
            row = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            end, file.line = file.line or start, start
            yield file.problem(f"broken CSV: {error}")
        else:
            end, file.line = file.line or start, start
            if row:
                yield row
        start, file.line = end + 1, end


def _document(reader: RowReader, names: list[str], row: list[str], number: int) -> Document | Problem:
    if len(row) != len(names):
        return reader.file.problem(f"{len(row)} cells, but the header has {len(names)}")
    return reader.document(dict(zip(names, row, strict=True)), number, line=reader.file.line)


def _header(cells: list[str]) -> list[str]:
    """Column names; Rejected when two are the same. A column without a name (a table's index) gets its number."""
    names = [cell.strip() or f"column{position}" for position, cell in enumerate(cells, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Rejected(f"the header names {', '.join(map(repr, twice))} more than once")
    return names


def _take(pending: list[Problem]) -> list[Problem]:
    taken = pending[:]
    pending.clear()
    return taken
