"""Word, PowerPoint and Excel files, through the optional package markitdown."""

import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
    if find_spec("markitdown") is None:
        raise missing_package("markitdown", needed_for=f"Reading {file.suffix} files", extra="files")
    text = file.parsed("office", settings)["text"]
    yield file_document(file, settings, text, markdown_title(text))


def parse_office(path: Path, limit: int) -> dict[str, Any]:
    """`text`, as Markdown; Rejected for a damaged or encrypted file. Runs in the worker process."""
    _check_archive(path)
    try:
        text = str(_converter().convert_local(path).text_content)
    except MemoryError:
        raise
    except Exception as error:
        # A damaged file makes the parsers fail in any way at all.
        raise Rejected(one_line(f"cannot be converted: {error or type(error).__name__}")) from None
    if len(text) > limit:
        raise Rejected(f"more than {limit:,} bytes of text; raise --max-document-bytes")
    return {"text": text}


@cache
def _converter() -> Any:
    from markitdown import MarkItDown

    return MarkItDown(enable_plugins=False)


def _check_archive(path: Path) -> None:
    """Rejected for a file that is no archive, unpacks without end, or declares XML entities."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            unpacked = sum(part.file_size for part in parts)
            if unpacked > max(RATIO_COUNTS_FROM_BYTES, MAX_RATIO * path.stat().st_size):
                raise Rejected(f"unpacks to {unpacked:,} bytes, more than {MAX_RATIO} times its size")
            for part in parts:
                if part.filename.endswith((".xml", ".rels")) and b"<!DOCTYPE" in archive.open(part).read(1 << 16):
                    raise Rejected(one_line(f"{part.filename} holds a document type; no Office program writes one"))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise Rejected(f"damaged or encrypted: {error}") from None
