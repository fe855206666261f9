"""The text of a filter cut into tokens, each with the place where it stands."""

import re
from dataclasses import dataclass
from typing import Literal, cast

from retr.retrieval.errors import BadInput

Kind = Literal["string", "name", "number", "word", "op", "punctuation", "end"]

MAX_BYTES = 8 * 1024
EXAMPLE = "year >= 2020 and lang in ('en', 'de') and 'draft' not in tags"

# Every alternative starts with another character and repeats over a simple class, so matching takes linear time.
TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<string>'(?:[^']|'')*+')"
    r'|(?P<name>"(?:[^"]|"")*+")'
    r"|(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<op><=|>=|<>|!=|==|=|<|>)"
    r"|(?P<punctuation>[(),.])"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the filter: `text` as written, `start` counted in characters from 0."""

    kind: Kind
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The word in lower case, which keywords are compared by; "" for anything that is not a bare word."""
        return self.text.lower() if self.kind == "word" else ""

    @property
    def content(self) -> str:
        """What stands between the quotes of a string or name, doubled quotes made single; else the text itself."""
        quote = self.text[:1]
        return self.text[1:-1].replace(quote * 2, quote) if self.kind in ("string", "name") else self.text

    def __str__(self) -> str:
        if self.kind == "end":
            return "the end"
        shown = self.content if len(self.content) <= 40 else self.content[:40] + "…"
        return f"the text {shown!r}" if self.kind == "string" else repr(shown)


def wrong(token: Token, expected: str, example: str = EXAMPLE) -> BadInput:
    """The error for a token that cannot stand where it does."""
    return BadInput(
        f"The filter is wrong at character {token.start + 1}: expected {expected}, found {token}. Example: {example}"
    )


def tokens(text: str) -> list[Token]:
    """All tokens and one of kind `end`. BadInput where no token can start, or when the text is empty or over 8 KiB."""
    _check(text)
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise _no_token(text, position)
        kind = match.lastgroup
        if kind != "space":
            found.append(Token(cast(Kind, kind), match.group(), position))
        position = match.end()
    return [*found, Token("end", "", len(text))]


def _check(text: str) -> None:
    if not isinstance(text, str):
        raise BadInput(f"A filter must be a string; got {type(text).__name__}. Example: {EXAMPLE}")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise BadInput(f"The filter is not valid Unicode at character {error.start + 1}. Give it as UTF-8.") from None
    if size > MAX_BYTES:
        raise BadInput(f"The filter has {size} bytes; at most {MAX_BYTES} are accepted. Shorten it.")
    if not text.strip():
        raise BadInput(f"The filter is empty. Leave it out, or write one. Example: {EXAMPLE}")


def _no_token(text: str, position: int) -> BadInput:
    character = text[position]
    if character in "'\"":
        what = "text" if character == "'" else "field name"
        return BadInput(
            f"The filter is wrong at character {position + 1}: the {what} that starts here has no closing {character}; "
            f"inside it a {character} is written twice. Example: name = 'O''Brien'"
        )
    hint = 'a field, a value or an operator (a field name with such characters goes in double quotes: "odd-name")'
    return wrong(Token("op", character, position), hint)
