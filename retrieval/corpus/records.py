"""One row, or one file's text, to a Document: which field is which, and what is refused."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from retr.retrieval.corpus.pictures import row_picture
from retr.retrieval.corpus.report import Problem, Rejected
from retr.retrieval.corpus.settings import (
    CAPTION_FIELDS,
    ID_FIELDS,
    IMAGE_FIELDS,
    TEXT_FIELDS,
    TITLE_FIELDS,
    ReadSettings,
)
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document, check_id

Row = Mapping[str, Any]
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_FLOAT = re.compile(r"-?(0|[1-9]\d*)\.\d+([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RowReader:
    """Rows of one file to documents; `convert` makes a JSON value of a metadata value."""

    file: SourceFile
    settings: ReadSettings
    convert: Callable[[Any], Any]
    counter: str = "line"

    def document(self, row: Row, number: int, *, line: int | None = None) -> Document | Problem:
        """The row's document, or what is wrong with it.

        `number` counts from 1 and ends the id of a row that has none; `line` is where it stands, if that is another.
        """
        try:
            return self._document(row, number, line or number)
        except (Rejected, BadInput) as error:
            return self.file.problem(str(error).rstrip("."))

    def _document(self, row: Row, number: int, place: int) -> Document:
        image_field = self._image_field(row)
        text_fields = self._text_fields(row, needed=not image_field)
        title_field = self._field(row, self.settings.title_field, TITLE_FIELDS, "title")
        id_field = self._field(row, self.settings.id_field, ID_FIELDS, "id")
        parts = [_as_text(row[name], name) for name in text_fields]
        text = parts[0] if len(parts) == 1 else "\n".join(part for part in parts if part.strip())
        named = title_field and (self.settings.title_field or title_field not in text_fields)
        title = _as_text(row[title_field], title_field).strip() if named else ""
        if title and not text.strip() and not image_field:
            text, title = title, ""
        id = _as_id(row[id_field], id_field) if id_field else f"{self.file.name}#{number}"
        check_text(title + text, self.settings, may_be_empty=bool(image_field))
        metadata = self._metadata(row, {*text_fields, title_field, id_field})
        source: Mapping[str, Any] = {"path": self.file.shown, self.counter: place}
        if image_field:
            told, where = row_picture(self.file, row[image_field])
            metadata, source = {**metadata, **told}, {**source, **where}
        return Document(check_id(id), text, title, metadata, source)

    def _image_field(self, row: Row) -> str:
        """The row's field with the path of an image; empty where it has none, or images are not read."""
        name = self._field(row, None, IMAGE_FIELDS, "image") if self.settings.images else ""
        return name if name and row[name] not in (None, "") else ""

    def _text_fields(self, row: Row, *, needed: bool) -> tuple[str, ...]:
        named = self.settings.text_fields
        for name in named:
            self._field(row, name, (), "text")
        found = named or (self._field(row, None, TEXT_FIELDS if needed else CAPTION_FIELDS, "text"),)
        if not found[0] and not needed:
            return ()
        if not found[0]:
            raise Rejected(f"no text field ({', '.join(TEXT_FIELDS)}); {_columns(row)}. Name it with --text-field")
        return found

    def _field(self, row: Row, named: str | None, known: tuple[str, ...], what: str) -> str:
        """The row's own name for a field; an empty string when none was named and none is well known."""
        if named is not None:
            if named in row:
                return named
            near = get_close_matches(named, row, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise Rejected(f"no {what} field {named!r}{hint}; {_columns(row)}")
        for name in known:
            if name in row:
                return name
        lowered = {name.lower(): name for name in reversed(list(row))}
        return next((lowered[name] for name in known if name in lowered), "")

    def _metadata(self, row: Row, used: set[str]) -> dict[str, Any]:
        nested = row.get("metadata")
        merged = {**nested, **row} if isinstance(nested, Mapping) and "metadata" not in used else dict(row)
        if merged.get("metadata") is nested and isinstance(nested, Mapping) and "metadata" not in nested:
            merged.pop("metadata", None)
        names = self.settings.metadata_fields
        if names is None:
            return {name: _value(self.convert, name, value) for name, value in merged.items() if name not in used}
        return {name: _value(self.convert, name, merged[name]) for name in names if name in merged}


def file_document(
    file: SourceFile, settings: ReadSettings, text: str, title: str = "", extra: Row | None = None
) -> Document:
    """A file's text as one document, with the facts about the file as its metadata; Rejected when the text is bad."""
    check_text(text, settings)
    metadata, id = {**(extra or {}), **file_facts(file)}, file_id(file)
    check_text(title, settings, may_be_empty=True)
    return Document(id, text, title, metadata, {"path": file.shown})


def file_facts(file: SourceFile) -> dict[str, Any]:
    """What metadata tells of a file: where it is in its folder, its kind, time and size."""
    if file.path is None:
        return {}
    facts = file.path.stat()
    modified = datetime.fromtimestamp(facts.st_mtime, UTC).isoformat(timespec="seconds")
    return {"path": file.relative, "suffix": file.suffix, "modified": modified, "bytes": facts.st_size}


def file_id(file: SourceFile) -> str:
    """The id of the one document of a file; Rejected where its name can be none."""
    try:
        return check_id(file.name)
    except BadInput as error:
        raise Rejected(str(error).rstrip(".")) from None


def check_text(text: str, settings: ReadSettings, *, may_be_empty: bool = False) -> None:
    """Rejected for a text that is empty, too large, binary, or not valid Unicode."""
    if not may_be_empty and (not text or text.isspace()):
        raise Rejected("empty text")
    if "\0" in text:
        raise Rejected("the text holds NUL characters; this looks like binary data")
    try:
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise Rejected(f"the text is not valid Unicode: a lone surrogate at character {error.start + 1}") from None
    if size > settings.max_document_bytes:
        raise Rejected(
            f"a text of {size:,} bytes; at most {settings.max_document_bytes:,} are read as one document."
            " Split it, or raise --max-document-bytes"
        )


def typed_cell(cell: str) -> Any:
    """A number, true or false when the cell is exactly that, None when it is empty; otherwise the cell.

    `007` and `1e5` stay text: a leading zero means a code, and so may an `e`.
    """
    if not cell:
        return None
    if cell in ("true", "false"):
        return cell == "true"
    if _INTEGER.fullmatch(cell):
        return int(cell)
    return float(cell) if _FLOAT.fullmatch(cell) else cell


def json_value(value: Any) -> Any:
    """A value of a typed column as JSON: dates as ISO text, NaN as null, decimals as numbers; bytes are Rejected."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    raise Rejected(f"holds {type(value).__name__}, which is no JSON value; leave it out with --metadata-field")


def _value(convert: Callable[[Any], Any], name: str, value: Any) -> Any:
    try:
        return convert(value)
    except Rejected as error:
        raise Rejected(f"column {name!r} {error}") from None


def _as_text(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise Rejected(f"field {name!r} is not a text but {_kind(value)}")


def _as_id(value: Any, name: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value == "":
        raise Rejected(f"empty id in field {name!r}")
    if not isinstance(value, str):
        raise Rejected(f"the id in field {name!r} is neither text nor a whole number but {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    return {"list": "a list", "dict": "an object", "bool": "true or false"}.get(
        type(value).__name__, f"a {type(value).__name__}"
    )


def _columns(row: Row) -> str:
    names = [str(name)[:40] for name in row]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"the row has {', '.join(names[:20]) or 'no fields'}{more}"
