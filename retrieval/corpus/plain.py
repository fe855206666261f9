"""Plain text: a file as one document, or each of its lines as one."""

from collections.abc import Iterator

from retr.retrieval.corpus.decoding import decode
from retr.retrieval.corpus.lines import read_lines
from retr.retrieval.corpus.opening import open_bytes, read_whole
from retr.retrieval.corpus.records import RowReader, file_document
from retr.retrieval.corpus.report import Problem
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document


def read_text(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """The whole file as one document."""
    text, problems = whole_text(file, settings)
    yield from problems
    yield file_document(file, settings, text)


def read_text_lines(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """One document a line that is not blank."""
    rows = RowReader(file, ReadSettings(max_document_bytes=settings.max_document_bytes), convert=str)
    with open_bytes(file) as stream:
        for line in read_lines(stream, file, settings):
            if isinstance(line, Problem):
                yield line
            elif not line.isspace():
                yield rows.document({"text": line.rstrip("\r\n")}, file.line or 0)


def whole_text(file: SourceFile, settings: ReadSettings) -> tuple[str, list[Problem]]:
    """A file's text, and a problem where bytes of it had to be replaced."""
    text, fault = decode(read_whole(file, settings.max_document_bytes), settings)
    return text, [file.problem(fault, "repaired")] if fault else []
