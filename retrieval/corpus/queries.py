"""Questions from a file: JSON lines, `id<TAB>text`, a question a line, or a BEIR folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retr.retrieval.corpus.formats import split_suffix
from retr.retrieval.corpus.json_rows import parse_object
from retr.retrieval.corpus.lines import read_lines
from retr.retrieval.corpus.opening import DAMAGE, open_bytes
from retr.retrieval.corpus.report import Problem, Rejected, one_line
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import STDIN, SourceFile, check_exists
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.records import Query, check_id

ID_FIELDS = ("_id", "id", "qid", "query_id", "query-id")
TEXT_FIELDS = ("text", "query", "question")
BEIR_QUERIES = ("queries.jsonl", "queries.jsonl.gz")
KINDS = (".jsonl", ".ndjson", ".tsv", ".txt", "")


def read_queries(path: str | Path) -> list[Query]:
    """The questions, in order; an id is the line's number where the file gives none.

    A TSV line is `id<TAB>text`; a first line that only names those two is passed over. BadInput names file and line
    of the first thing wrong: broken rows, empty texts, an id that comes twice, no question at all.
    """
    file = _query_file(str(path))
    queries: dict[str, Query] = {}
    try:
        for query in _read(file):
            if query.id in queries:
                raise Rejected(f"the query id {query.id!r} comes twice")
            queries[query.id] = query
    except (Rejected, BadInput) as error:
        raise BadInput(_located(file, error)) from None
    except (*DAMAGE, UnicodeDecodeError, OSError) as error:
        file.line = None
        raise BadInput(_located(file, f"cannot be read: {error}")) from None
    if not queries:
        raise BadInput(f"{one_line(file.shown)}: no queries in it. Give a line for each question.")
    return list(queries.values())


def _read(file: SourceFile) -> Iterator[Query]:
    with open_bytes(file) as stream:
        for line in read_lines(stream, file, ReadSettings()):
            if isinstance(line, Problem):
                _refuse(line)
            elif not line.isspace():
                yield from _parse(line.rstrip("\r\n"), file)


def _query_file(path: str) -> SourceFile:
    if path == STDIN:
        return SourceFile(None, "stdin", "stdin", "stdin", "")
    found = check_exists(path)
    if found.is_dir():
        inside = [found / name for name in BEIR_QUERIES if (found / name).is_file()]
        if not inside:
            raise NotFound(
                one_line(f"No {' or '.join(BEIR_QUERIES)} in the folder {path!r}. Name the file of queries.")
            )
        found = inside[0]
    suffix, compression = split_suffix(found.name)
    if suffix not in KINDS:
        raise BadInput(one_line(f"{path!r} is no kind of query file. Kinds: .jsonl, .tsv, .txt, also with .gz."))
    return SourceFile(found, str(found), found.name, found.name, suffix, compression)


def _parse(line: str, file: SourceFile) -> Iterator[Query]:
    number = file.line or 0
    if file.suffix in (".jsonl", ".ndjson") or (file.path is None and line.startswith("{")):
        row = parse_object(line)
        yield _query(_first(row, ID_FIELDS, number), _first(row, TEXT_FIELDS, None))
    elif file.suffix == ".tsv":
        id, tab, text = line.partition("\t")
        if not tab:
            raise Rejected("no tab in the line; it should be id<TAB>text")
        if not (number == 1 and id.lower() in ID_FIELDS and text.lower() in TEXT_FIELDS):
            yield _query(id, text)
    else:
        yield _query(number, line)


def _first(row: dict[str, Any], names: tuple[str, ...], default: object) -> object:
    for name in names:
        if name in row:
            return row[name]
    if default is None:
        raise Rejected(f"no query text ({', '.join(names)}); the row has {', '.join(row) or 'no fields'}")
    return default


def _query(id: object, text: object) -> Query:
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise Rejected(
            "empty query text" if text is None or text == "" or isinstance(text, str) else "the query is no text"
        )
    if not isinstance(id, str | int) or isinstance(id, bool):
        raise Rejected("the query id is neither text nor a whole number")
    return Query(check_id(str(id), "query id"), text.strip())


def _refuse(problem: Problem) -> None:
    if problem.outcome != "noted":
        raise Rejected(problem.reason)


def _located(file: SourceFile, reason: object) -> str:
    return f"{str(file.problem(str(reason))).rstrip('.')}. Put the file right."
