"""PDF: the text layer, page by page."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from retr.retrieval.corpus.records import file_document
from retr.retrieval.corpus.report import Problem, Rejected, one_line
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document

PAGE_BREAK = "\n\n"


def read_pdf(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """The file as one document; `source["page_starts"]` has the code-point offset at which each page's text starts."""
    assert file.path is not None
    with file.path.open("rb") as stream, _quiet():
        title, pages = _parse(stream, settings.max_document_bytes)
    if not any(page.strip() for page in pages):
        raise Rejected(f"no text on its {len(pages)} pages; scanned? Put it through OCR first")
    starts, position = [], 0
    for page in pages:
        starts.append(position)
        position += len(page) + len(PAGE_BREAK)
    document = file_document(file, settings, PAGE_BREAK.join(pages), title, {"pages": len(pages)})
    yield Document(
        document.id, document.text, document.title, document.metadata, {**document.source, "page_starts": starts}
    )


def _parse(stream: Any, limit: int) -> tuple[str, list[str]]:
    """Title and page texts; Rejected for an encrypted or damaged file."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, WrongPasswordError

    if stream.read(1) == b"":
        raise Rejected("the file is empty")
    try:
        reader = PdfReader(stream)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Rejected("encrypted; save a copy without a password")
        return _title(reader), _page_texts(reader, limit)
    except Rejected:
        raise
    except (DependencyError, FileNotDecryptedError, WrongPasswordError):
        raise Rejected("encrypted; save a copy without a password") from None
    except Exception as error:
        # A damaged file makes the parser fail in any way at all: KeyError, RecursionError, ...
        raise Rejected(one_line(f"damaged PDF: {error or type(error).__name__}")) from None


def _page_texts(reader: Any, limit: int) -> list[str]:
    pages: list[str] = []
    size = 0
    for page in reader.pages:
        pages.append(_clean(page.extract_text()))
        size += len(pages[-1])
        if size > limit:
            raise Rejected(f"more than {limit:,} bytes of text in {len(pages)} pages; raise --max-document-bytes")
    return pages


def _title(reader: Any) -> str:
    try:
        return " ".join(_clean(str(reader.metadata.title or "")).split()) if reader.metadata else ""
    except Exception:
        # Broken metadata costs the title, not the document.
        return ""


def _clean(text: str) -> str:
    """Surrogate pairs joined (the parser gives some as two halves), lone halves replaced, NULs dropped."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


@contextmanager
def _quiet() -> Iterator[None]:
    """The parser logs a line for every oddity of a file; those are for its authors, not for our users."""
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
