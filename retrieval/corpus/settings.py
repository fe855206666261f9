"""How input is read: the fields, the format, the limits, and what to do about problems."""

import codecs
import math
from dataclasses import dataclass
from typing import Literal

from retr.retrieval.corpus.formats import READERS, format_names
from retr.retrieval.errors import BadInput, unknown

TEXT_FIELDS = ("text", "body", "content", "contents", "passage", "abstract")
ID_FIELDS = ("_id", "id", "doc_id", "docid", "uuid", "pid")
IMAGE_FIELDS = ("image", "file_name")
CAPTION_FIELDS = (*TEXT_FIELDS, "caption")
"""Fields of a row that has an image, and of its text."""
TITLE_FIELDS = ("title", "name", "heading")


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """Settings of `read_documents`; None means: find out.

    `text_field` may name several fields, `"title,abstract"`; their texts are joined by a newline. `metadata_fields`
    None keeps every other column. `include` and `exclude` are shell patterns for files in folders, where `*` also
    crosses `/`. `typed_csv` turns a metadata cell that is exactly a number, `true` or `false` into that value.
    `parse_seconds` is the most time that one PDF or Office file may take. With `images`, image files are documents, and
    so are rows with a column `image` or `file_name`, a path from the folder of their file; these need no text.
    """

    text_field: str | None = None
    id_field: str | None = None
    title_field: str | None = None
    metadata_fields: tuple[str, ...] | None = None
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    typed_csv: bool = True
    on_error: Literal["fail", "skip"] = "fail"
    max_document_bytes: int = 10 * 2**20
    parse_seconds: float = 120.0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    images: bool = False

    def __post_init__(self) -> None:
        if self.on_error not in ("fail", "skip"):
            raise BadInput(f"on_error is {self.on_error!r}; it can be 'fail' or 'skip'.")
        if self.max_document_bytes < 1:
            raise BadInput(f"max_document_bytes is {self.max_document_bytes}; give at least 1.")
        if not 0 < self.parse_seconds < math.inf:
            raise BadInput(f"parse_seconds is {self.parse_seconds}; give a number of seconds above 0.")
        if self.format is not None and self.suffix not in READERS:
            raise unknown("format", self.format, format_names())
        if self.delimiter is not None and len(self.separator) != 1:
            raise BadInput(f"delimiter is {self.delimiter!r}; give one character, or \\t for a tab.")
        if self.encoding is not None:
            check_encoding(self.encoding)
        if self.text_field is not None and not self.text_fields:
            raise BadInput(f"text_field is {self.text_field!r}; name at least one field.")

    @property
    def suffix(self) -> str:
        """The key into READERS that `format` stands for, or an empty string."""
        return "." + self.format.lower().removeprefix(".") if self.format else ""

    @property
    def separator(self) -> str:
        """The delimiter itself, or an empty string when it is to be found out."""
        return "\t" if self.delimiter in ("\\t", "tab") else self.delimiter or ""

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The fields named by `text_field`, in order."""
        return tuple(name.strip() for name in (self.text_field or "").split(",") if name.strip())


def check_encoding(name: str) -> str:
    """The codec's own name, or BadInput when Python has no text encoding of that name."""
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise BadInput(
            f"{name!r} is not a known text encoding. Examples: utf-8, utf-16, windows-1252, shift_jis, gb18030."
        ) from None
