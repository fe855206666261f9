"""The SQL of a filter and its plain evaluation give the same answer, for any filter and any record."""

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from retr.retrieval.filters import (
    And,
    Between,
    Compare,
    Contains,
    Field,
    Filter,
    In,
    IsNull,
    Like,
    Not,
    Or,
    matches,
    to_sql,
)
from retr.retrieval.filters.like import lower
from retr.retrieval.records import Document

Database = Any  # hypothesis would keep the real class in its caches, and its bindings complain of that at exit

# Few names and values, so that filters and records meet; odd ones, so that escaping is put to the test.
NAMES = [
    "id",
    "title",
    "metadata",
    "a",
    "b",
    "0",
    "1",
    "",
    "q'\"uote",
    "t/il~de",
    "~1",
    "$.a",
    "*",
    "é😀",
    "a.b",
    "\\",
    "n\0",
]
TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "A",
    "%",
    "_",
    "\\",
    "a\\",
    "é",
    "É",
    "ß",
    "😀",
    "\uffff",
    "1",
    "true",
    "null",
    "'",
    '"',
    "a\nb",
    "n\0",
]
NUMBERS = [
    0,
    1,
    -1,
    2,
    1.0,
    -0.0,
    0.1,
    1.5,
    2**53,
    2**53 + 1,
    2.0**53,
    2**63,
    -(2**63),
    2**64 - 1,
    2**64,
    10**30,
    1e300,
]

texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
numbers = st.sampled_from(NUMBERS) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = texts | numbers | st.booleans()
names = st.sampled_from(NAMES)
fields = st.lists(names, min_size=1, max_size=3).map(tuple).map(Field)
ordered = texts | numbers

metadata = st.dictionaries(
    names,
    st.recursive(
        values | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)
records = st.builds(Document, id=texts, text=st.just(""), title=texts, metadata=metadata)


@st.composite
def likes(draw: st.DrawFn) -> Like:
    escape = draw(st.sampled_from(["", "\\", "!", "%", "_", "a", "é"]))
    pieces = ["%", "_", "a", "b", "é", "É", "A", "😀", "\n"] + (
        [escape + each for each in "%_ab"] + [escape * 2] if escape else []
    )
    pieces = [piece for piece in pieces if piece != escape]
    pattern = "".join(draw(st.lists(st.sampled_from(pieces), max_size=5)))
    return Like(draw(fields), pattern, escape, draw(st.booleans()))


leaves: SearchStrategy[Filter] = st.one_of(
    st.builds(Compare, fields, st.just("="), values),
    st.builds(Compare, fields, st.sampled_from(["<", "<=", ">", ">="]), values),
    st.builds(Between, fields, ordered, ordered),
    st.builds(In, fields, st.lists(values, max_size=4).map(tuple)),
    likes(),
    st.builds(IsNull, fields),
    st.builds(Contains, fields, values | st.none()),
)
filters: SearchStrategy[Filter] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        yield connection


def passed_in_sql(database: Database, filter: Filter, rows: list[Document]) -> list[bool | None]:
    condition, bound = to_sql(filter)
    database.execute("CREATE OR REPLACE TABLE documents (row INTEGER, id VARCHAR, title VARCHAR, metadata VARCHAR)")
    database.executemany(
        "INSERT INTO documents VALUES (?, ?, ?, ?)",
        [[row, each.id, each.title, json.dumps(each.metadata)] for row, each in enumerate(rows)],
    )
    return [row[0] for row in database.execute(f"SELECT {condition} FROM documents ORDER BY row", bound).fetchall()]


@settings(deadline=None, max_examples=100)
@given(filter=filters, rows=st.lists(records, min_size=1, max_size=6))
def test_sql_and_python_agree(database: Database, filter: Filter, rows: list[Document]) -> None:
    assert passed_in_sql(database, filter, rows) == [matches(filter, row) for row in rows]


@settings(deadline=None, max_examples=100)
@given(filter=leaves, value=st.one_of(metadata, values, st.lists(values, max_size=3)), where=fields)
def test_they_agree_where_the_field_is_really_there(
    database: Database, filter: Filter, value: object, where: Field
) -> None:
    held: object = value
    for name in reversed(filter.field.path):  # type: ignore[union-attr]
        held = {name: held}
    document = Document("a", "", "b", held)  # type: ignore[arg-type]
    assert passed_in_sql(database, filter, [document]) == [matches(filter, document)]


@settings(deadline=None, max_examples=100)
@given(text=texts, filter=likes())
def test_patterns_agree_on_text_that_nearly_fits(database: Database, text: str, filter: Like) -> None:
    made = filter.pattern.replace("%", text).replace("_", "x")
    near = Like(Field(("a",)), filter.pattern, filter.escape, filter.ignore_case)
    rows = [Document("1", "", metadata={"a": made}), Document("2", "", metadata={"a": made.swapcase() + "a"})]
    assert passed_in_sql(database, near, rows) == [matches(near, row) for row in rows]


def test_lower_case_is_the_same_in_both_for_every_character(database: Database) -> None:
    characters = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
    found = database.execute("SELECT each, lower(each) FROM (SELECT unnest(?::VARCHAR[]) AS each)", [characters])
    assert [each for each, lowered in found.fetchall() if lowered != lower(each)] == []
