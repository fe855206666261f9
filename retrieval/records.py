"""The words everything else is said in: Document, Passage, Query, Hit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retr.retrieval.errors import BadInput

Metadata = Mapping[str, Any]
"""JSON values by name: strings, numbers, booleans, null, lists and nested objects."""

MAX_ID_BYTES = 512


@dataclass(frozen=True, slots=True)
class Document:
    """One text with the caller's own id.

    `metadata` is what filters see; `source` says where the text came from (`path`, `line`, `page_starts`, …).
    """

    id: str
    text: str
    title: str = ""
    metadata: Metadata = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document: `text == document.text[start:end]`, offsets in code points."""

    document: Document
    ordinal: int
    start: int
    end: int

    @property
    def text(self) -> str:
        """The piece itself."""
        return self.document.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Query:
    """One question with its id."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer. `id` is the document's; `text` the passage that matched; `source` says where it stands."""

    id: str
    score: float
    rank: int = 0
    title: str = ""
    text: str = ""
    metadata: Metadata = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    explain: Mapping[str, Any] | None = None


def check_id(id: str, what: str = "document id") -> str:
    """The id itself, or BadInput: a non-empty string of at most 512 bytes of UTF-8."""
    if not isinstance(id, str):
        raise BadInput(f"A {what} must be a string; got {type(id).__name__} {id!r}.")
    if not id:
        raise BadInput(f"A {what} is empty. Give every record a non-empty id.")
    try:
        size = len(id.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadInput(f"The {what} {id!r} is not valid Unicode (a lone surrogate). Clean it first.") from None
    if size > MAX_ID_BYTES:
        raise BadInput(
            f"The {what} {id[:40]!r}… has {size} bytes; at most {MAX_ID_BYTES} are accepted. Shorten or hash it."
        )
    return id
