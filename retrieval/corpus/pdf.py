"""PDF: the text layer, page by page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retr.retrieval.corpus.records import file_document
from retr.retrieval.corpus.report import Problem, Rejected, one_line
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document

PAGE_BREAK = "\n\n"


def read_pdf(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """The file as one document; `source["page_starts"]` has the code-point offset at which each page's text starts."""
    found = file.parsed("pdf", settings)
    pages: list[str] = found["pages"]
    if not any(page.strip() for page in pages):
        raise Rejected(f"no text on its {len(pages)} pages; scanned? Put it through OCR first")
    starts, position = [], 0
    for page in pages:
        starts.append(position)
        position += len(page) + len(PAGE_BREAK)
    document = file_document(file, settings, PAGE_BREAK.join(pages), found["title"], {"pages": len(pages)})
    yield Document(
        document.id, document.text, document.title, document.metadata, {**document.source, "page_starts": starts}
    )


def parse_pdf(path: Path, limit: int) -> dict[str, Any]:
    """`title` and `pages`, a list of texts; Rejected for an encrypted or damaged file. Runs in the worker process."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, WrongPasswordError

    with path.open("rb") as stream:
        if stream.read(1) == b"":
            raise Rejected("the file is empty")
        try:
            reader = PdfReader(stream)
            if reader.is_encrypted and not reader.decrypt(""):
                raise Rejected("encrypted; save a copy without a password")
            return {"title": _title(reader), "pages": _page_texts(reader, limit)}
        except (Rejected, MemoryError):
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
