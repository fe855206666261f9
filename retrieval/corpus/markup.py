"""Markdown and reStructuredText: kept as they are written, less simple front matter; the first heading is the title."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from retr.retrieval.corpus.plain import whole_text
from retr.retrieval.corpus.records import file_document, json_value, typed_cell
from retr.retrieval.corpus.report import Problem, Rejected
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.corpus.sources import SourceFile
from retr.retrieval.records import Document

_FRONT = re.compile(r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)^\1[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_PAIR = re.compile(r"([A-Za-z_][\w .-]*?)[ \t]*:(?:[ \t]+(.*))?")
_ATX = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}[ \t]*")
# What starts a value that plain `key: value` reading would get wrong: anchors, blocks, nested objects, comments.
_NOT_PLAIN = ("&", "*", "!", "|", ">", "{", "%", "@", "`", "#")


def read_markdown(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """The file as one document; front matter that is plain `key: value` lines becomes metadata."""
    text, problems = whole_text(file, settings)
    yield from problems
    facts, text = split_front_matter(text)
    title = facts.get("title")
    heading = title if isinstance(title, str) and title.strip() else markdown_title(text)
    kept = settings.metadata_fields
    extra = {name: value for name, value in facts.items() if name != "title" and (kept is None or name in kept)}
    yield file_document(file, settings, text, heading.strip(), extra)


def read_rst(file: SourceFile, settings: ReadSettings) -> Iterator[Document | Problem]:
    """The file as one document."""
    text, problems = whole_text(file, settings)
    yield from problems
    yield file_document(file, settings, text, rst_title(text))


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """YAML (`---`) or TOML (`+++`) front matter and the text after it; YAML beyond simple lines is left in the text."""
    found = _FRONT.match(text)
    if not found:
        return {}, text
    try:
        facts = _toml(found[2]) if found[1] == "+++" else _simple_yaml(found[2])
    except (Rejected, tomllib.TOMLDecodeError):
        return {}, text
    return facts, text[found.end() :].lstrip("\r\n")


def markdown_title(text: str) -> str:
    """The first heading outside of code fences, or an empty string."""
    fence = before = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        elif not fence:
            heading = _ATX.fullmatch(line)
            if heading and heading[1]:
                return heading[1]
            if before and re.fullmatch(r" {0,3}(=+|-{2,})[ \t]*", line):
                return before
        before = line.strip() if not fence and not mark else ""
    return ""


def rst_title(text: str) -> str:
    """The first line that is underlined at its full length, or an empty string."""
    before = ""
    for line in text.splitlines():
        underline = _ADORNMENT.fullmatch(line)
        if underline and before and len(line.rstrip()) >= len(before) and not _ADORNMENT.fullmatch(before):
            return before
        before = line.strip()
    return ""


def _toml(text: str) -> dict[str, Any]:
    return {name: json_value(value) for name, value in tomllib.loads(text.replace("\r\n", "\n")).items()}


def _simple_yaml(text: str) -> dict[str, Any]:
    """`key: value` lines with plain, quoted or `[a, b]` values; Rejected for anything beyond."""
    facts: dict[str, Any] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pair = _PAIR.fullmatch(line)
        if not pair or pair[2] is None:
            raise Rejected(f"not simple front matter: {line!r}")
        facts[pair[1]] = _yaml_value(pair[2].strip())
    return facts


def _yaml_value(value: str) -> Any:
    if value.startswith(_NOT_PLAIN):
        raise Rejected(f"not a simple value: {value!r}")
    if value[:1] in ("'", '"'):
        if len(value) < 2 or value[-1] != value[0] or value[0] in value[1:-1] or "\\" in value:
            raise Rejected(f"not a simple value: {value!r}")
        return value[1:-1]
    if value.startswith("["):
        inner = value[1:-1]
        if (
            not value.endswith("]")
            or "[" in inner
            or "{" in inner
            or (("'" in inner or '"' in inner) and '", "' in inner)
        ):
            raise Rejected(f"not a simple value: {value!r}")
        return [_yaml_value(item.strip()) for item in inner.split(",") if item.strip()]
    return typed_cell(value.partition(" #")[0].rstrip())
