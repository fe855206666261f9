"""The part of a text that answers best, with the words that matched marked."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SNIPPET_CHARACTERS = 240

# A character of a script without spaces, or letters and digits with their combining marks.
_WORD = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
    "|(?:[^\\W_]|[\u0300-\u036f\u0900-\u0dff])+"
)


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a text on one line, and where in it matched words stand: (start, end) in code points."""

    text: str
    marks: tuple[tuple[int, int], ...]

    def marked(self, before: str = "[", after: str = "]") -> str:
        """The text with a sign before and after each matched word."""
        parts, at = [], 0
        for start, end in self.marks:
            parts += [self.text[at:start], before, self.text[start:end], after]
            at = end
        return "".join([*parts, self.text[at:]])


def matched_words(text: str, query: str, analyzer: Any) -> list[tuple[int, int, str]]:
    """(start, end, term) of each word of `text` whose term is also one of the query's, in order."""
    terms = set(analyzer.analyze(query))
    found = []
    for start, end in _words(text):
        for term in _terms(analyzer, text[start:end]):
            if term in terms:
                found.append((start, end, term))
                break
    return found


@lru_cache(maxsize=1 << 16)
def _terms(analyzer: Any, word: str) -> tuple[str, ...]:
    """A word's terms, remembered: the same words come again and again, and the analyzer is slow for one at a time."""
    return tuple(analyzer.analyze(word))


def _words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _WORD.finditer(text)]


def snippet(text: str, query: str, analyzer: Any, *, width: int = SNIPPET_CHARACTERS) -> Snippet:
    """The window of about `width` characters with the most different query terms; the start of the text if none."""
    return snippet_of(text, matched_words(text, query, analyzer), width=width)


def snippet_of(text: str, found: list[tuple[int, int, str]], *, width: int = SNIPPET_CHARACTERS) -> Snippet:
    """The window of about `width` characters with the most different names among (start, end, name), which rise."""
    first, last = _best_window(found, width)
    start, end = _at_words(text, max(0, first - max(0, width - (last - first)) // 2), width)
    lead, tail = ("… " if start else ""), (" …" if end < len(text) else "")
    line = "".join(" " if character.isspace() else character for character in text[start:end])
    shift = len(lead) - start
    marks = tuple((s + shift, e + shift) for s, e, _ in found if s >= start and e <= end)
    return Snippet(f"{lead}{line}{tail}", marks)


def _best_window(found: list[tuple[int, int, str]], width: int) -> tuple[int, int]:
    best, window, first = (0, 0), (0, 0), 0
    for last in range(len(found)):
        while found[last][1] - found[first][0] > width and first < last:
            first += 1
        inside = found[first : last + 1]
        worth = (len({term for _, _, term in inside}), len(inside))
        if worth > best:
            best, window = worth, (inside[0][0], inside[-1][1])
    return window


def _at_words(text: str, start: int, width: int) -> tuple[int, int]:
    """A window moved so that it cuts no word, where words are of ordinary length."""
    end = min(len(text), start + width)
    start = max(0, min(start, end - width))
    for _ in range(width // 4):
        if start == 0 or not (text[start - 1].isalnum() and text[start].isalnum()):
            break
        start -= 1
    for _ in range(width // 4):
        if end == len(text) or not (text[end - 1].isalnum() and text[end].isalnum()):
            break
        end += 1
    return start, end
