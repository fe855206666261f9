"""Word, PowerPoint and Excel files, through the optional package markitdown."""

import zipfile
from collections.abc import Iterator

from retr.retrieval.corpus.markup import markdown_title
from retr.retrieval.corpus.opening import MAX_RATIO, RATIO_COUNTS_FROM_BYTES
from retr.retrieval.corpus.records import file_document
from retr.retrieval.corpus.report import Problem, Rejected, one_line
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.errors import missing_package
from retr.retrieval.records import Document


def read_office(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """The file as one document, converted to Markdown."""
    try:
        from markitdown import MarkItDown
    except ModuleNotFoundError:
        raise missing_package("markitdown", needed_for=f"Reading {file.suffix} files", extra="files") from None
    assert file.path is not None
    _check_archive(file)
    try:
        text = str(MarkItDown(enable_plugins=False).convert_local(file.path).text_content)
    except Exception as error:
        # A damaged file makes the parsers fail in any way at all.
        raise Rejected(one_line(f"cannot be converted: {error or type(error).__name__}")) from None
    yield file_document(file, settings, text, markdown_title(text))


def _check_archive(file: SourceFile) -> None:
    """Rejected for a file that is no archive, unpacks without end, or declares XML entities."""
    assert file.path is not None
    try:
        with zipfile.ZipFile(file.path) as archive:
            parts = archive.infolist()
            unpacked = sum(part.file_size for part in parts)
            if unpacked > max(RATIO_COUNTS_FROM_BYTES, MAX_RATIO * file.path.stat().st_size):
                raise Rejected(f"unpacks to {unpacked:,} bytes, more than {MAX_RATIO} times its size")
            for part in parts:
                if part.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in archive.open(part).read(1 << 16):
                    raise Rejected(one_line(f"{part.filename} holds a document type; no Office program writes one"))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise Rejected(f"damaged or encrypted: {error}") from None
