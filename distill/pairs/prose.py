"""A text as paragraphs, sections and sentences: what can ask, and what only stands between."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from retr.retrieval.errors import missing_package

Kind = Literal["prose", "heading", "other"]

HEADING_CHARACTERS = 100
_FENCE = re.compile(r"[ \t]*(```|~~~)")
_MARKED = re.compile(r" {0,3}#{1,6}[ \t]+\S")
_UNDERLINED = re.compile(r"[^\n]+\n[ \t]*([=~^\-*+#])\1{2,}[ \t]*")
_ITEM = re.compile(r"[ \t]*(?:[-*+•>]|\d{1,3}[.)])[ \t]+")
_ENDS = (".", "!", "?", "…", "。", "！", "？", ";", ":", ",")
_CLOSERS = ")]\"'”’»*_`"


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, or a heading, table or block of code. The pieces of a paragraph, one after another, are its text.

    `paragraph` and `section` count from 0; a heading counts as a part of the paragraph that follows it. `start` is the
    piece's place in the text of its document.
    """

    text: str
    kind: Kind
    paragraph: int
    section: int
    start: int


def pieces_of(text: str, *, language: str, wrapped: bool = True) -> list[Piece]:
    """The pieces of a text in order; all but blank lines is in one of them. Where lines are not `wrapped`, each ends
    a sentence."""
    found: list[Piece] = []
    paragraph = section = 0
    has_body = False
    for start, block in _blocks(text):
        kind = _kind(block)
        if kind == "heading" and has_body:
            section, has_body = section + 1, False
        parts = _sentences(block, language, wrapped) if kind == "prose" else [block]
        for part in parts:
            found.append(Piece(part, kind, paragraph, section, start))
            start += len(part)
        if kind != "heading":
            has_body = True
            paragraph += 1
    return found


def as_query(text: str) -> str:
    """A sentence on one line, without the mark of a list or a quotation before it."""
    mark = _ITEM.match(text)
    return " ".join(text[mark.end() if mark else 0 :].split())


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs with their places: what stands between blank lines, a fenced block of code being one."""
    start = end = place = 0
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        opens = bool(mark) and not fence
        closes = bool(mark) and mark is not None and mark[1] == fence
        cut = (not fence and not line.strip()) or opens or (not fence and bool(_MARKED.match(line)))
        if cut and end > start:
            yield start, text[start:end]
        if cut:
            start = end = place
        place += len(line)
        if fence or line.strip():
            start = start if end > start else place - len(line)
            end = place
        fence = "" if closes else (mark[1] if mark and opens else fence)
        if closes or (not fence and _MARKED.match(line)):
            yield start, text[start:end]
            start = end = place
    if end > start:
        yield start, text[start:end]


def _kind(block: str) -> Kind:
    line = block.strip()
    if _FENCE.match(block) or line.startswith("|"):
        return "other"
    if _MARKED.match(block) or _UNDERLINED.fullmatch(line):
        return "heading"
    short = "\n" not in line and len(line) <= HEADING_CHARACTERS and any(map(str.isalpha, line))
    ends = line.rstrip(_CLOSERS).endswith(_ENDS)
    return "heading" if short and not ends and not _ITEM.match(block) else "prose"


def _sentences(block: str, language: str, wrapped: bool) -> list[str]:
    """The block's sentences with the white space after each; an item of a list begins a new one."""
    try:
        from sentencex import segment  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ModuleNotFoundError:
        raise missing_package("sentencex", needed_for="telling sentences apart", extra="train") from None
    parts: list[str] = []
    for line in block.splitlines(keepends=True):
        if not parts or not wrapped or _ITEM.match(line):
            parts.append(line)
        else:
            parts[-1] += line
    return [sentence for part in parts for sentence in _whole(part, segment(language, part))]


def _whole(text: str, sentences: list[str]) -> list[str]:
    """The sentences, where together they are the text; else the text, so that nothing is ever lost."""
    return [sentence for sentence in sentences if sentence] if "".join(sentences) == text else [text]
