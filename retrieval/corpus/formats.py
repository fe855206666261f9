"""Which reader a file goes to: one table, from a file name's suffix to "module:function"."""

from collections.abc import Mapping
from pathlib import PurePath

from retr.retrieval.pictures import ENDINGS

_HERE = "retr.retrieval.corpus"

READERS: dict[str, str] = {
    ".txt": f"{_HERE}.plain:read_text",
    ".text": f"{_HERE}.plain:read_text",
    ".log": f"{_HERE}.plain:read_text",
    ".lines": f"{_HERE}.plain:read_text_lines",
    ".md": f"{_HERE}.markup:read_markdown",
    ".markdown": f"{_HERE}.markup:read_markdown",
    ".rst": f"{_HERE}.markup:read_rst",
    ".html": f"{_HERE}.web:read_html",
    ".htm": f"{_HERE}.web:read_html",
    ".xhtml": f"{_HERE}.web:read_html",
    ".pdf": f"{_HERE}.pdf:read_pdf",
    ".docx": f"{_HERE}.office:read_office",
    ".pptx": f"{_HERE}.office:read_office",
    ".xlsx": f"{_HERE}.office:read_office",
    ".jsonl": f"{_HERE}.json_rows:read_jsonl",
    ".ndjson": f"{_HERE}.json_rows:read_jsonl",
    ".json": f"{_HERE}.json_list:read_json",
    ".csv": f"{_HERE}.tables:read_csv",
    ".tsv": f"{_HERE}.tables:read_tsv",
    ".parquet": f"{_HERE}.parquet:read_parquet",
}
"""A reader takes (SourceFile, ReadSettings) and yields a Document or a Problem a record."""

PICTURE_READERS: dict[str, str] = dict.fromkeys(ENDINGS, f"{_HERE}.pictures:read_picture")
"""Readers beside the others where images are documents too."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
SEEKING = frozenset({".pdf", ".docx", ".pptx", ".xlsx", ".parquet"})
"""Formats read from their end or in any order: not from standard input, not inside a .gz."""


def format_names(*, images: bool = False) -> list[str]:
    """What `--format` accepts: the suffixes without their dots; and with `images` what else is read."""
    return sorted(suffix.removeprefix(".") for suffix in readers(images=images))


def split_suffix(name: str) -> tuple[str, str]:
    """The lower-case suffix and the compression's: `a.jsonl.gz` gives (".jsonl", ".gz"), `a.md` gives (".md", "")."""
    path = PurePath(name.lower())
    if path.suffix in COMPRESSED:
        return PurePath(path.stem).suffix, path.suffix
    return path.suffix, ""


def readers(*, images: bool) -> Mapping[str, str]:
    """The readers that there are, with those of images or without."""
    return {**READERS, **PICTURE_READERS} if images else READERS


def is_readable(suffix: str, compression: str, *, images: bool = False) -> bool:
    """Whether a file of these suffixes has a reader."""
    return suffix in readers(images=images) and not (compression and (suffix in SEEKING or suffix in PICTURE_READERS))
