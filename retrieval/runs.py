"""Runs (what was found) and qrels (what is relevant): read and written as TREC, BEIR and JSON files."""

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np

from retr.retrieval.errors import BadInput, Damaged, NotFound

MAX_LINE_BYTES = 1 << 16
GZIP_MAGIC = b"\x1f\x8b"
HEADINGS = frozenset({b"score", b"grade", b"label", b"rel", b"relevance"})
"""What the third column of a qrels header may say; any other first row is taken for data, and so never lost."""

SPACES = frozenset(" \t\n\r\v\f")
"""What separates columns in a TREC file; other Unicode spaces may stand in an id."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a search gave: {query id: {document id: score}}. The order is `ranked`'s; no rank is stored."""

    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        """The query ids."""
        return iter(self.scores)

    def __len__(self) -> int:
        """How many queries."""
        return len(self.scores)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a TREC run (`qid Q0 docid rank score tag`), `query-id corpus-id rank score` between tabs, or JSON.

        Gzipped or not; a header of the table is recognised by its words. The written rank is ignored.

        NotFound without the file; BadInput names file and line; Damaged for a broken gzip file.
        """
        return cls(_load(Path(path), _run_line, _score, "run"))

    def without_self(self) -> Self:
        """The run without documents that have the query's own id, for queries that are documents themselves."""
        kept = {
            qid: {docid: score for docid, score in of_query.items() if docid != qid}
            for qid, of_query in self.scores.items()
        }
        return type(self)(kept)

    def save(self, path: Path | str, *, tag: str = "retr") -> None:
        """Write JSON when the name ends with .json, else TREC; scores in full, so that the order can be recovered.

        BadInput for a score that is not finite and, in TREC, for an id that is empty or holds white space.
        """
        for qid, scores in self.scores.items():
            for docid, score in scores.items():
                _score(score, f"query {qid!r}, document {docid!r}")
        _save(Path(path), {qid: _floats(scores) for qid, scores in self.scores.items()}, lambda: self._lines(tag))

    def _lines(self, tag: str) -> Iterator[str]:
        for qid, scores in self.scores.items():
            for rank, docid in enumerate(ranked(scores), start=1):
                yield f"{_column(qid)} Q0 {_column(docid)} {rank} {float(scores[docid])!r} {_column(tag)}\n"


@dataclass(frozen=True, slots=True)
class Qrels:
    """What is relevant: {query id: {document id: grade}}. Grades above 0 are relevant; not in it means not judged."""

    grades: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        """The query ids."""
        return iter(self.grades)

    def __len__(self) -> int:
        """How many queries."""
        return len(self.grades)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read TREC qrels (`qid 0 docid grade`), BEIR's TSV (`query-id corpus-id score`) or JSON, gzipped or not.

        BEIR's header is recognised by its words, so a file without one loses no row.
        NotFound without the file; BadInput names file and line; Damaged for a broken gzip file.
        """
        return cls(_load(Path(path), _qrels_line, _grade, "qrels"))

    def save(self, path: Path | str) -> None:
        """Write JSON when the name ends with .json, else TREC. BadInput as for `Run.save`."""
        for qid, grades in self.grades.items():
            for docid, grade in grades.items():
                _grade(grade, f"query {qid!r}, document {docid!r}")
        _save(Path(path), {qid: dict(grades) for qid, grades in self.grades.items()}, self._lines)

    def _lines(self) -> Iterator[str]:
        for qid, grades in self.grades.items():
            for docid, grade in grades.items():
                yield f"{_column(qid)} 0 {_column(docid)} {grade}\n"


def check_ids(path: Path, ids: Iterable[str]) -> None:
    """BadInput for an id that `Run.save(path)` would refuse, so that it can be told before the work is done."""
    if path.suffix != ".json":
        for id in ids:
            _column(id)


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Document ids, best first, as trec_eval orders them: by the score as float32, ties by the id, both falling."""
    ids = sorted(scores, reverse=True)
    values = np.array([scores[docid] for docid in ids], dtype=np.float64)
    if np.isnan(values).any():
        raise BadInput(f"The document {ids[int(np.isnan(values).argmax())]!r} has the score NaN, which has no rank.")
    with np.errstate(over="ignore"):
        order = np.argsort(-values.astype(np.float32), kind="stable")
    return [ids[place] for place in order]


_Row = tuple[bytes, bytes, bytes]
_ReadLine = Callable[[bytes, bool], _Row | None]
_Check = Callable[[Any, str], float]


def _load(path: Path, read_line: _ReadLine, check: _Check, what: str) -> Any:
    try:
        with path.open("rb") as disk:
            packed = disk.read(2) == GZIP_MAGIC
            disk.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=disk) as unpacked:
                    return _read(cast(BinaryIO, unpacked), path, read_line, check, what)
            return _read(disk, path, read_line, check, what)
    except FileNotFoundError:
        raise NotFound(f"No {what} file {str(path)!r}. Check the path.") from None
    except IsADirectoryError:
        raise BadInput(f"{str(path)!r} is a folder; a {what} file is needed.") from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Damaged(f"{str(path)!r} is a broken gzip file ({error}). Copy or make it again.") from None


def _read(file: BinaryIO, path: Path, read_line: _ReadLine, check: _Check, what: str) -> dict[str, dict[str, float]]:
    first = file.readline(MAX_LINE_BYTES)
    while first and not first.removeprefix(b"\xef\xbb\xbf").strip():
        first = file.readline(MAX_LINE_BYTES)
    file.seek(0)
    if first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") and not _is_row(first):
        return _read_json(file, path, check, what)
    table: dict[str, dict[str, float]] = {}
    rows = iter(lambda: file.readline(MAX_LINE_BYTES), b"")
    is_first = True
    for number, line in enumerate(rows, start=1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not line.strip():
            continue
        where = f"{path}:{number}"
        row = _row(line, where, read_line, is_first)
        is_first = False
        if row is not None:
            _put(table, row, check, where)
    return table


def _is_row(line: bytes) -> bool:
    """Whether a line that starts with a brace is a row all the same: an id may start with one."""
    columns = line.split()
    return columns[1:2] in ([b"Q0"], [b"0"]) or line.count(b"\t") == 2


def _row(line: bytes, where: str, read_line: _ReadLine, is_first: bool) -> tuple[str, str, str] | None:
    if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
        raise BadInput(f"{where}: the line is longer than {MAX_LINE_BYTES} bytes, so this is no run or qrels file.")
    try:
        row = read_line(line.rstrip(b"\r\n"), is_first)
        return None if row is None else (row[0].decode(), row[1].decode(), row[2].decode())
    except UnicodeDecodeError:
        raise BadInput(f"{where}: an id is not valid UTF-8. Convert the file to UTF-8.") from None
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _run_line(line: bytes, is_first: bool) -> _Row | None:
    table = line.split(b"\t")
    if len(table) == 4:
        return None if is_first and table[3].strip().lower() in HEADINGS else (table[0], table[1], table[3])
    columns = line.split()
    if len(columns) != 6:
        raise BadInput(
            f"expected 6 columns `qid Q0 docid rank score tag`, or 4 with tabs, found {len(columns)}: {_shown(line)}."
        )
    return columns[0], columns[2], columns[4]


def _qrels_line(line: bytes, is_first: bool) -> _Row | None:
    columns = line.split(b"\t")
    if len(columns) != 3:
        columns = line.split()
    if len(columns) == 4:
        return columns[0], columns[2], columns[3]
    if len(columns) != 3:
        raise BadInput(
            f"expected `qid 0 docid grade`, or BEIR's `query-id corpus-id score`, found {len(columns)} columns: "
            f"{_shown(line)}."
        )
    if is_first and columns[2].strip().lower() in HEADINGS:
        return None
    return columns[0], columns[1], columns[2]


def _put(table: dict[str, dict[str, float]], row: tuple[str, str, str], check: _Check, where: str) -> None:
    qid, docid, text = row
    if not qid or not docid:
        raise BadInput(f"{where}: an id is empty. Give every row a query id and a document id.")
    of_query = table.setdefault(qid, {})
    value = check(text, where)
    if docid in of_query and (check is _score or of_query[docid] != value):
        raise BadInput(f"{where}: the document {docid!r} stands twice for the query {qid!r}. Keep one of the rows.")
    of_query[docid] = value


def _read_json(file: BinaryIO, path: Path, check: _Check, what: str) -> dict[str, dict[str, float]]:
    form = f'{{"query id": {{"document id": {"0.5" if check is _score else "1"}}}}}'
    try:
        loaded = json.loads(file.read().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}:{error.lineno}: not valid JSON ({error.msg}). A {what} looks like {form}.") from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise BadInput(f"{path}: not valid JSON in UTF-8. A {what} looks like {form}.") from None
    for qid, of_query in loaded.items():
        if not isinstance(of_query, dict):
            raise BadInput(f"{path}: the query {qid!r} holds no object. A {what} looks like {form}.")
        for docid, value in of_query.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise BadInput(f"{path}: query {qid!r}, document {docid!r}: {value!r} is no number.")
            of_query[docid] = check(value, f"{path}: query {qid!r}, document {docid!r}")
    return cast(dict[str, dict[str, float]], loaded)


def _score(value: Any, where: str) -> float:
    try:
        score = float(value)
    except (ValueError, OverflowError):
        raise BadInput(f"{where}: the score {str(value)[:40]!r} is no number.") from None
    if not math.isfinite(score):
        raise BadInput(f"{where}: the score is {score}; only finite scores can be ranked.")
    return score


def _grade(value: Any, where: str) -> int:
    try:
        grade = int(value)
        if grade == value or isinstance(value, str):
            return grade
    except (ValueError, OverflowError):
        pass
    raise BadInput(f"{where}: the grade {str(value)[:40]!r} is no whole number. Grades are 0, 1, 2, ….")


def _floats(scores: Mapping[str, float]) -> dict[str, float]:
    return {docid: float(scores[docid]) for docid in ranked(scores)}


def _save(path: Path, table: Mapping[str, Mapping[str, float]], lines: Callable[[], Iterator[str]]) -> None:
    # All of it is made before the file is opened, so that a bad id leaves an older file as it was.
    text = json.dumps(table) + "\n" if path.suffix == ".json" else "".join(lines())
    path.write_text(text, encoding="utf-8", newline="\n")


def _column(id: str) -> str:
    if not id or SPACES.intersection(id):
        raise BadInput(f"The id {id!r} is empty or holds white space, which a TREC file cannot. Save as .json instead.")
    try:
        id.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(f"The id {id!r} is not valid Unicode (a lone surrogate). Save as .json instead.") from None
    return id


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))
