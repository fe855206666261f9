"""The values that a filter may hold, read from their tokens: text, numbers, true, false, null and dates."""

import math
from dataclasses import dataclass
from datetime import date

from retr.retrieval.filters.lexer import Token, wrong
from retr.retrieval.filters.tree import Value

MAX_DIGITS = 400
"""Longer whole numbers are beyond float64 anyhow, and Python refuses to read very long ones."""

CONSTANTS: dict[str, Value | None] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Literal:
    """A value and the token that it was read from, for errors."""

    value: Value | None
    token: Token


def literal(token: Token, *, is_date: bool = False) -> Literal:
    """The value that a token says, or BadInput."""
    if is_date:
        return Literal(_date(token), token)
    if token.kind == "string":
        return Literal(token.content, token)
    if token.kind == "number":
        return Literal(_number(token), token)
    if token.keyword in CONSTANTS:
        return Literal(CONSTANTS[token.keyword], token)
    raise wrong(token, _expected(token))


def with_order(given: Literal) -> Value:
    """The value, or BadInput where it has no order: true, false and null."""
    if given.value is None or isinstance(given.value, bool):
        raise wrong(given.token, "a number or text, since true, false and null have no order", "year >= 2020")
    return given.value


def of_one_kind(low: Literal, high: Literal) -> None:
    """BadInput when one end of a range is text and the other is not: nothing could lie between them."""
    if isinstance(low.value, str) != isinstance(high.value, str):
        kind = "text in single quotes" if isinstance(low.value, str) else "a number"
        raise wrong(high.token, f"{kind}, as the lower end is", "year between 2020 and 2024")


def _expected(token: Token) -> str:
    if token.kind == "name":
        return "a value; double quotes are for field names, text goes in single quotes"
    if token.kind == "word":
        return "a value; text goes in single quotes"
    return "a value such as 2024, 'text', true or date '2024-01-31'"


def _number(token: Token) -> int | float:
    whole = token.text.lstrip("+-").isdigit()
    if whole and len(token.text) <= MAX_DIGITS:
        return int(token.text)
    value = math.inf if whole else float(token.text)
    if math.isinf(value):
        raise wrong(token, "a number that float64 can hold", "year >= 2020")
    return value


def _date(token: Token) -> str:
    try:
        day = date.fromisoformat(token.content)
    except ValueError:
        day = None
    if day is None or day.isoformat() != token.content:
        raise wrong(token, "a day of the calendar as year-month-day", "published >= date '2024-01-31'")
    return token.content
