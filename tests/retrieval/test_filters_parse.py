"""The filter language: what each form means, and what is said about text that is no filter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retr.retrieval.errors import BadInput
from retr.retrieval.filters import (
    And,
    Between,
    Compare,
    Contains,
    Field,
    In,
    IsNull,
    Like,
    Not,
    Or,
    matches,
    parse,
    to_sql,
)
from retr.retrieval.records import Document

A = Field(("a",))
ONE = Compare(A, "=", 1)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a = 1", ONE),
        ("a == 1", ONE),
        ("a=1", ONE),
        ("a != 1", Not(ONE)),
        ("a <> 1", Not(ONE)),
        ("not a = 1", Not(ONE)),
        ("a >= -2.5", Compare(A, ">=", -2.5)),
        ("a < 'it''s'", Compare(A, "<", "it's")),
        ("a = TRUE", Compare(A, "=", True)),
        ("a = 9007199254740993", Compare(A, "=", 9007199254740993)),
        ("a = 1e3", Compare(A, "=", 1000.0)),
        ("a = null", IsNull(A)),
        ("a != null", Not(IsNull(A))),
        ("a is null", IsNull(A)),
        ("a IS NOT NULL", Not(IsNull(A))),
        ("a in (1, 'x', true)", In(A, (1, "x", True))),
        ("a not in (1)", Not(In(A, (1,)))),
        ("a in (1, null)", Or((In(A, (1,)), IsNull(A)))),
        ("a in (null)", IsNull(A)),
        ("a between 1 and 2", Between(A, 1, 2)),
        ("a not between 1 and 2", Not(Between(A, 1, 2))),
        ("a like 'x%'", Like(A, "x%")),
        ("a not ilike 'x!%' escape '!'", Not(Like(A, "x!%", "!", True))),
        ("'x' in a", Contains(A, "x")),
        ("3 not in a", Not(Contains(A, 3))),
        ("null in a", Contains(A, None)),
        ("a = date '2024-02-29'", Compare(A, "=", "2024-02-29")),
        ("date = '2024'", Compare(Field(("date",)), "=", "2024")),
        ("date > date '2024-02-29'", Compare(Field(("date",)), ">", "2024-02-29")),
        ('a.b."c d".in = 1', Compare(Field(("a", "b", "c d", "in")), "=", 1)),
        ('"say ""hi""" = 1', Compare(Field(('say "hi"',)), "=", 1)),
        ("größe = 1", Compare(Field(("größe",)), "=", 1)),
        ("a = 1 or a = 1 and not a = 1", Or((ONE, And((ONE, Not(ONE)))))),
        ("(a = 1 or a = 1) and a = 1", And((Or((ONE, ONE)), ONE))),
        ("not not (a = 1)", Not(Not(ONE))),
        ("a in ('x') and 'x' in a", And((In(A, ("x",)), Contains(A, "x")))),
    ],
)
def test_text_means(text: str, meaning: object) -> None:
    assert parse(text) == meaning


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("year", 5, "found the end. Example: year = true"),
        ("year >=", 8, "expected a value such as 2024"),
        ("year 2020", 6, "expected a comparison"),
        ("year = abc", 8, "text goes in single quotes, found 'abc'"),
        ('year = "abc"', 8, "double quotes are for field names"),
        ("year = 'abc", 8, "has no closing '"),
        ('"year = 1', 1, 'has no closing "'),
        ("(year = 1", 10, "expected `)`"),
        ("year = 1)", 9, "found ')'"),
        ("year = 1 year = 2", 10, "expected `and`, `or` or the end"),
        ("a in 'x'", 6, "expected `(`"),
        ("a in ()", 7, "expected a value"),
        ("a in ('x',)", 11, "expected a value"),
        ("a not = 1", 7, "after `not`"),
        ("a is 1", 6, "`null` or `not null`"),
        ("a < null", 5, "have no order"),
        ("a between false and true", 11, "have no order"),
        ("a between 1 and 'x'", 17, "expected a number, as the lower end is"),
        ("a between 1, 2", 12, "expected `and` and the upper end"),
        ("a like 1", 8, "a pattern in single quotes"),
        ("a like 'x' escape 'ab'", 19, "one character"),
        ("a like 'x!' escape '!'", 8, "ends with its escape character"),
        ("a = date '2024-02-30'", 10, "a day of the calendar"),
        ("a = date '20240229'", 10, "a day of the calendar"),
        ("2020 < year", 6, "the field stands on the left"),
        ("id = 5", 6, "since id is text"),
        ("title in ('x', 5)", 16, "since title is text"),
        ("'x' in title", 8, "a field that holds a list"),
        ("odd-name = 1", 4, '"odd-name"'),
        ("a = 1; drop table documents", 6, "found ';'"),
        ("a = 1 -- rest", 7, "found '-'"),
        ("a = 1e999", 5, "float64 can hold"),
        ("a = " + "9" * 5000, 5, "float64 can hold"),
        ("in = 1", 1, "expected a field name"),
        ("a. = 1", 4, "after the dot"),
        ("a = '\ud800'", 6, "not valid Unicode"),
        ("(" * 33 + "a = 1" + ")" * 33, 33, "deeper than 32"),
        ("not " * 33 + "a = 1", 129, "deeper than 32"),
        ("a in (" + "1," * 1000 + "1)", 7, "more than 1000 values"),
    ],
)
def test_an_error_points_at_the_place(text: str, place: int, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert f"character {place}" in str(caught.value)
    assert said in str(caught.value)


def test_limits_are_just_reached() -> None:
    parse(" and ".join(["(not a = 1)"] * 40))
    parse("(" * 32 + "a = 1" + ")" * 32)
    parse("a in (" + "1," * 999 + "1)")
    parse("a = '" + "x" * (8192 - 6) + "'")
    with pytest.raises(BadInput, match="8193 bytes; at most 8192"):
        parse("a = '" + "x" * (8193 - 6) + "'")


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_filter_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="empty"):
        parse(text)


def test_a_filter_that_is_no_string_is_refused() -> None:
    with pytest.raises(BadInput, match="got dict"):
        parse({"a": 1})  # type: ignore[arg-type]


PIECES = [
    "a",
    "id",
    '"b c"',
    "'x'",
    "''",
    "1",
    "-2.5",
    "1e9",
    "=",
    "!=",
    "<",
    ">=",
    "(",
    ")",
    ",",
    ".",
    "and",
    "or",
    "not",
]
PIECES += [
    "in",
    "between",
    "like",
    "escape",
    "is",
    "null",
    "true",
    "date",
    "'2024-01-01'",
    "'",
    '"',
    "%",
    ";",
    "\\",
    "\0",
    "é",
]
DOCUMENT = Document("1", "", "t", {"a": [1, "x", None], "b c": {"a": "x"}})


@given(st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_filter_or_bad_input(text: str) -> None:
    try:
        filter = parse(text)
    except BadInput as error:
        assert "\n" not in str(error)
    else:
        assert matches(filter, DOCUMENT) in (True, False)
        sql, bound = to_sql(filter)
        assert sql.count("?") == len(bound)
