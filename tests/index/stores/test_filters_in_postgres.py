"""A filter means in PostgreSQL what its plain evaluation says, for any filter and any record that can be stored."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from retr.index.postgres.filters import to_postgres
from retr.retrieval.filters import Compare, Contains, Field, Filter, matches, parse
from retr.retrieval.records import Document

DRAWN = runpy.run_path(str(Path(__file__).parents[2] / "retrieval" / "test_filters_agree.py"))
"""The filters and records that the SQL of the index folder is tested with."""


@pytest.fixture(scope="module")
def connection(server: str) -> Iterator[Any]:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        yield connection


def passed(connection: Any, filter: Filter, rows: list[Document]) -> list[bool | None]:
    from retr.index.postgres.binary import json_text

    condition, bound = to_postgres(filter)
    columns = [[row.id for row in rows], [row.title for row in rows], [json_text(row.metadata) for row in rows]]
    query = f"""SELECT {condition} FROM unnest(%s::text[], %s::text[], %s::jsonb[]) WITH ORDINALITY
        AS d(id, title, metadata, at) ORDER BY at"""
    return [row[0] for row in connection.execute(query, [*bound, *columns]).fetchall()]


def without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "0")
    if isinstance(value, dict):
        return {without_nul(key): without_nul(one) for key, one in value.items()}
    return [without_nul(one) for one in value] if isinstance(value, list) else value


def stored(row: Document) -> Document:
    return Document(without_nul(row.id), "", without_nul(row.title), without_nul(dict(row.metadata)))


@settings(deadline=None, max_examples=60)
@given(filter=DRAWN["filters"], rows=DRAWN["st"].lists(DRAWN["records"], min_size=1, max_size=6))
def test_any_filter_means_the_same(connection: Any, filter: Filter, rows: list[Document]) -> None:
    kept = [stored(row) for row in rows]
    assert passed(connection, filter, kept) == [matches(filter, row) for row in kept]


@settings(deadline=None, max_examples=60)
@given(
    filter=DRAWN["leaves"],
    value=DRAWN["st"].one_of(DRAWN["metadata"], DRAWN["values"], DRAWN["st"].lists(DRAWN["values"], max_size=3)),
)
def test_it_means_the_same_where_the_field_is_really_there(connection: Any, filter: Any, value: object) -> None:
    held: object = value
    for name in reversed(filter.field.path):
        held = {name: held}
    document = stored(Document("a", "", "b", held))  # type: ignore[arg-type]
    assert passed(connection, filter, [document]) == [matches(filter, document)]


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("a = 1", 1.0, True),
        ("a = 9007199254740993", 2**53, False),
        ("a > 1e16", 10**16 + 1, False),
        ("a = 10000000000000001", 1e16, True),
        ("a < 1e308", -(10**400), True),
        ("not a = 'x'", None, True),
        ("a.\"0\" = 'x'", ["x"], True),
        ("a.\"01\" = 'x'", ["x", "x"], False),
        ("a = true", 1, False),
        ("a ilike 'STRASSE%'", "straße", False),
        ("a ilike 'é%'", "ÉA", True),
        ("a < 'Ａ'", "Z", True),
        ("'''; drop table x' in a", ["'; drop table x"], True),
    ],
)
def test_what_is_easily_got_wrong(connection: Any, text: str, value: object, expected: bool) -> None:
    document = Document("i", "", metadata={"a": value})
    assert matches(parse(text), document) is expected
    assert passed(connection, parse(text), [document]) == [expected]


def test_what_a_user_writes_is_never_part_of_the_sql() -> None:
    hostile = "'); drop schema retr; --"
    for filter in (Compare(Field((hostile,)), "=", hostile), Contains(Field(("a", hostile)), hostile)):
        condition, bound = to_postgres(filter)
        assert "drop" not in condition
        assert hostile in bound
        assert condition.count("%s") == len(bound)
