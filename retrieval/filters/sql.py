"""A filter as a DuckDB condition over the columns id, title and metadata (JSON text), every value and path bound.

The SQL is put together from the fixed pieces below alone; whatever a user wrote, field names included, is a parameter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from retr.retrieval.filters.evaluation import number
from retr.retrieval.filters.like import read_pattern, sql_pattern
from retr.retrieval.filters.tree import (
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
    Operator,
    Or,
    Value,
)

Bound = tuple[str, list[object]]
"""A condition with `?` placeholders and the values for them, in order."""

OPERATORS: dict[Operator, str] = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
WHOLE = "('BIGINT', 'UBIGINT')"
NUMBER = "('BIGINT', 'UBIGINT', 'DOUBLE')"


@dataclass(frozen=True, slots=True)
class _Operand:
    """Something to compare: the SQL of its JSON type and of its text, and what each use of either must bind."""

    type: str
    text: str
    bound: tuple[object, ...] = ()


MEMBER = _Operand("json_type(member)", "json_extract_string(member, '$')")


def to_sql(filter: Filter) -> Bound:
    """A condition that is never NULL, for `WHERE`, and the values for its `?`s, in order."""
    match filter:
        case And(parts):
            return _join(" AND ", [to_sql(part) for part in parts], empty="TRUE")
        case Or(parts):
            return _join(" OR ", [to_sql(part) for part in parts], empty="FALSE")
        case Not(part):
            sql, bound = to_sql(part)
            return f"(NOT {sql})", bound
        case Contains():
            return _contains(filter)
    sql, bound = _leaf(filter, _operand(filter.field))
    return f"COALESCE({sql}, FALSE)", bound


def pointer(path: tuple[str, ...]) -> str:
    """The path as a JSON pointer (RFC 6901), in which every key can be written."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


def _operand(field: Field) -> _Operand:
    if field.column is not None:
        column = {"id": "id", "title": "title"}[field.column]
        return _Operand(f"IF({column} IS NULL, NULL, 'VARCHAR')", column)
    return _Operand("json_type(metadata, ?)", "json_extract_string(metadata, ?)", (pointer(field.path),))


def _leaf(filter: Compare | Between | In | Like | IsNull, operand: _Operand) -> Bound:
    match filter:
        case Compare(_, op, value):
            return _compare(operand, op, value)
        case Between(_, low, high):
            return _join(" AND ", [_compare(operand, ">=", low), _compare(operand, "<=", high)], empty="TRUE")
        case In(_, values):
            return _among(operand, values)
        case Like():
            return _like(operand, filter)
        case IsNull():
            return f"(COALESCE({operand.type}, 'NULL') = 'NULL')", [*operand.bound]


def _compare(operand: _Operand, op: Operator, value: Value) -> Bound:
    if op == "=" or isinstance(value, bool):
        return _among(operand, (value,) if op == "=" else ())
    if isinstance(value, str):
        return _typed(operand, "= 'VARCHAR'", f"{operand.text} {OPERATORS[op]} ?", [value])
    exact, close = number(value), float(number(value))
    as_double = f"TRY_CAST({operand.text} AS DOUBLE) {OPERATORS[op]} CAST(? AS DOUBLE)"
    if isinstance(exact, float):
        return _typed(operand, f"IN {NUMBER}", as_double, [close])
    as_whole = f"TRY_CAST({operand.text} AS HUGEINT) {OPERATORS[op]} CAST(? AS HUGEINT)"
    whole = _typed(operand, f"IN {WHOLE}", as_whole, [exact])
    return _join(" OR ", [whole, _typed(operand, "= 'DOUBLE'", as_double, [close])], empty="FALSE")


def _among(operand: _Operand, values: tuple[Value, ...]) -> Bound:
    """Equal to one of the values; each type of value is looked for among fields of that type only."""
    booleans = [str(value).lower() for value in values if isinstance(value, bool)]
    strings = [value for value in values if isinstance(value, str)]
    numbers = [number(value) for value in values if not isinstance(value, bool | str)]
    double, whole = f"TRY_CAST({operand.text} AS DOUBLE)", f"TRY_CAST({operand.text} AS HUGEINT)"
    alternatives = (
        ("= 'BOOLEAN'", operand.text, "?", booleans),
        ("= 'VARCHAR'", operand.text, "?", strings),
        (f"IN {WHOLE}", whole, "CAST(? AS HUGEINT)", [value for value in numbers if isinstance(value, int)]),
        (f"IN {WHOLE}", double, "CAST(? AS DOUBLE)", [value for value in numbers if isinstance(value, float)]),
        ("= 'DOUBLE'", double, "CAST(? AS DOUBLE)", [float(value) for value in numbers]),
    )
    conditions = [
        _typed(operand, type, f"{side} IN ({', '.join([place] * len(wanted))})", wanted)
        for type, side, place, wanted in alternatives
        if wanted
    ]
    return _join(" OR ", conditions, empty="FALSE")


def _like(operand: _Operand, filter: Like) -> Bound:
    word = "ILIKE" if filter.ignore_case else "LIKE"
    pattern = sql_pattern(read_pattern(filter.pattern, filter.escape))
    return _typed(operand, "= 'VARCHAR'", f"{operand.text} {word} ? ESCAPE '\\'", [pattern])


def _contains(filter: Contains) -> Bound:
    """`$[*]` gives the members of a list, and none for any other value."""
    if filter.field.column is not None:
        return "FALSE", []
    member, bound = ("json_type(member) = 'NULL'", list[object]())
    if filter.value is not None:
        member, bound = _among(MEMBER, (filter.value,))
    members = "json_extract(json_extract(metadata, ?), '$[*]')"
    sql = f"COALESCE(len(list_filter({members}, lambda member: {member})) > 0, FALSE)"
    return sql, [pointer(filter.field.path), *bound]


def _typed(operand: _Operand, type: str, condition: str, bound: Sequence[object]) -> Bound:
    return f"({operand.type} {type} AND {condition})", [*operand.bound, *operand.bound, *bound]


def _join(word: str, conditions: list[Bound], *, empty: str) -> Bound:
    sql = f"({word.join(sql for sql, _ in conditions)})" if conditions else empty
    return sql, [value for _, bound in conditions for value in bound]
