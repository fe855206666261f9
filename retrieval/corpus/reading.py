"""read_documents: every document of files, folders and standard input, as one lazy stream."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from retr.retrieval.corpus.formats import readers
from retr.retrieval.corpus.isolation import Isolation
from retr.retrieval.corpus.json_rows import read_jsonl
from retr.retrieval.corpus.opening import DAMAGE, open_bytes
from retr.retrieval.corpus.plain import read_text_lines
from retr.retrieval.corpus.report import Problem, ReadReport, Rejected, one_line
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile, find_files
from retr.retrieval.errors import NotFound
from retr.retrieval.kinds import resolve
from retr.retrieval.records import Document

Reader = Callable[[SourceFile, ReadSettings], Iterator[Document | Problem]]


def read_documents(
    sources: Sequence[str | Path], settings: ReadSettings | None = None, report: ReadReport | None = None
) -> Iterator[Document]:
    """Every document of the sources: paths of files and folders, or `-` for standard input.

    The sources are looked up at once (NotFound, BadInput), their contents are read as the stream is; memory does not
    grow with the input. With `on_error="fail"` the first problem is a BadInput that names file and line; with "skip" it
    is counted in the report. Two documents with one id are not noticed here: that is the collection's business.
    """
    settings = settings or ReadSettings()
    report = report if report is not None else ReadReport()
    return _read(find_files(sources, settings, report), settings, report)


def total_bytes(sources: Sequence[str | Path], settings: ReadSettings | None = None) -> int:
    """Bytes that reading these sources will take from the disk; standard input counts as none."""
    report = ReadReport()
    find_files(sources, settings or ReadSettings(), report)
    return report.bytes_total


def _read(files: list[SourceFile], settings: ReadSettings, report: ReadReport) -> Iterator[Document]:
    with Isolation(settings.parse_seconds) as isolation:
        for file in files:
            file.isolation = isolation
            yield from _read_file(file, settings, report)


def _read_file(file: SourceFile, settings: ReadSettings, report: ReadReport) -> Iterator[Document]:
    before = report.bytes
    found = False
    for item in _guarded(file, settings):
        found = found or isinstance(item, Document) or item.outcome == "skipped"
        report.bytes = before + file.consumed
        if isinstance(item, Problem):
            report.take(item, settings.on_error)
        else:
            report.documents += 1
            yield item
    report.bytes = before + max(file.consumed, file.size)
    if not found:
        file.line = None
        reason = "the file holds no records" if file.size or file.consumed else "the file is empty"
        report.take(file.problem(reason), settings.on_error)


def _guarded(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """The reader's stream, with whatever stops it turned into a last Problem."""
    try:
        yield from _reader(file, settings)(file, settings)
    except Rejected as error:
        yield file.problem(str(error))
    except DAMAGE as error:
        yield file.problem(f"damaged or cut off: {error}")
    except UnicodeDecodeError as error:
        yield file.problem(f"bytes that are not {error.encoding}; say which encoding it is with --encoding")
    except NotFound as error:
        # A package that an optional format needs: nothing is wrong with the file.
        if settings.on_error == "fail":
            raise
        yield file.problem(str(error))
    except OSError as error:
        yield file.problem(f"cannot be read: {one_line(error.strerror or error)}")


def _reader(file: SourceFile, settings: ReadSettings) -> Reader:
    if file.path is None and not file.suffix:
        return _read_stdin
    reader: Reader = resolve(file.suffix, readers(images=settings.images), "format")
    return reader


def _read_stdin(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """JSON lines when the first character is `{`, otherwise a document a line."""
    with open_bytes(file) as stream:
        head = stream.peek(1024).removeprefix(b"\xef\xbb\xbf").lstrip()
    yield from (read_jsonl if head.startswith(b"{") else read_text_lines)(file, settings)
