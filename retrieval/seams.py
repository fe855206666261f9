"""How good a place of a text is to end a passage: after a paragraph, a sentence, within one, or after a heading."""

import re
from collections.abc import Sequence
from itertools import pairwise

SENTENCE_SEAM = 0.02
INNER_SEAM = 1.0
HEADING_SEAM = 2.0
"""What it costs to end a passage between sentences or lines, within one, or after a heading. After a paragraph: none.

The unit is the squared relative distance from the balanced size, which the passages on both sides of a moved end pay:
an end moves by up to 10% of a passage from a sentence's end to a paragraph's (2 · 0.10² = 0.02), and by up to 70% from
the middle of a sentence to its end (2 · 0.70² = 0.98). A heading belongs to what follows it: ending after one costs
more than ending anywhere else.
"""

HEADING_CHARACTERS = 100
"""Longer lines are no headings; so far around a place the text is looked at, however long its lines are."""

BLOCK_CHARACTERS = 10_000

_ENDS = (".", "!", "?", "…", "。", "！", "？", ";")
_CLOSERS = ")]\"'”’»*_`"
_NO_HEADING_STARTS = tuple("-*+•|>`<")
_MARKED = re.compile(r"[ \t]*(#{1,6}[ \t]+\S|(```|~~~)[ \t]*\w).*")
_UNDERLINE = re.compile(r"[ \t]*(([=~^\-\"'`*+#])\2{2,}|\|[ \t]*:?-[-:| \t]*)[ \t\r]*")
"""Lines that head what follows: `# heading`, ```` ```python ````, and `=====` or `|---|---|` with the line above it."""


def seam_cost(text: str, end: int, following: int) -> float:
    """What it costs to end a passage at `end` when the next starts at `following`; between them is only white space."""
    breaks = text.count("\n", end, following)
    underlined = breaks == 1 and _UNDERLINE.fullmatch(_line_from(text, following))
    if underlined or _heading_start(text, end, following) < end:
        return HEADING_SEAM
    if breaks >= 2:
        return 0.0
    # A line that goes on in lower case was only wrapped.
    ends = _ends_sentence(text[max(0, end - 4) : end]) or (breaks == 1 and not text[following].islower())
    return SENTENCE_SEAM if ends else INNER_SEAM


def before_headings(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans; one that ends with headings is two, so that they can go with what follows them."""
    parts: list[tuple[int, int]] = []
    for (start, end), (following, _) in pairwise(spans):
        heading, place = end, end
        while place > start and (found := _heading_start(text, place, following)) < place:
            heading = following = found
            place = _text_end(text, found)
        parts += [(start, place), (heading, end)] if start < place < end else [(start, end)]
    return [*parts, *spans[-1:]]


def blocks(text: str) -> list[tuple[int, int]]:
    """Spans of at most 10,000 characters that cover the text: cut after a blank line, else a line, a sentence, a word.

    The splitter's time grows with the square of the text where it finds no sentences.
    """
    spans, start = [], 0
    while len(text) - start > BLOCK_CHARACTERS:
        middle, most = start + BLOCK_CHARACTERS // 2, start + BLOCK_CHARACTERS
        found = (text.rfind(seam, middle, most) + len(seam) for seam in ("\n\n", "\n", ". ", "。", " "))
        end = next((place for place in found if place > middle), most)
        spans.append((start, end))
        start = end
    return [*spans, (start, len(text))]


def _heading_start(text: str, end: int, following: int) -> int:
    """Where the heading starts that ends at `end`; `end` when none does.

    A heading is a line marked as one, a line and its underline, or a short line between blank lines that is no sentence
    and does not come before one more such line.
    """
    start = _line_start(text, end)
    line = text[start:end]
    if start < 0 or not line.strip():
        return end
    if _MARKED.fullmatch(line):
        return end - len(line.lstrip())
    above = _line_start(text, start - 1) if start else -1
    if _UNDERLINE.fullmatch(line):
        return above if above >= 0 and text[above : start - 1].strip() else end
    lone = start == 0 or (above >= 0 and not text[above : start - 1].strip())
    if lone and text.count("\n", end, following) >= 2 and _may_be_title(line) and not _lone_title(text, following):
        return end - len(line.lstrip())
    return end


def _lone_title(text: str, start: int) -> bool:
    """Whether a line that could be a title stands at `start`, with a blank line or nothing after it."""
    line = _line_from(text, start)
    below = _line_from(text, start + len(line) + 1)
    return len(line) <= HEADING_CHARACTERS and not below.strip() and (_may_be_title(line) or bool(_MARKED.match(line)))


def _may_be_title(line: str) -> bool:
    line = line.strip()
    begins = not line.startswith(_NO_HEADING_STARTS) and any(map(str.isalpha, line))
    return begins and not _ends_sentence(line)


def _ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSERS).endswith(_ENDS)


def _line_start(text: str, end: int) -> int:
    """Where the line starts that ends at `end`; -1 when it is too long for a heading."""
    floor = max(0, end - HEADING_CHARACTERS - 1)
    found = text.rfind("\n", floor, end) + 1
    return found if found or floor == 0 else -1


def _line_from(text: str, start: int) -> str:
    """The line from `start` on, or as much of it as shows that it is too long for a heading."""
    return text[start : start + HEADING_CHARACTERS + 1].partition("\n")[0]


def _text_end(text: str, position: int) -> int:
    """Where the white space before a position starts."""
    while position > 0 and text[position - 1].isspace():
        position -= 1
    return position
