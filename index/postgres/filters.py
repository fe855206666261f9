"""A filter as a PostgreSQL condition on `d.id`, `d.title` and `d.metadata` (jsonb); every value and path is bound.

The meaning is that of `retr.retrieval.filters.evaluation`: never NULL, types never mixed, whole numbers of 64 bits
compared exactly and others as float64, strings by code point. The SQL is made of the fixed pieces below alone.
"""

import re
from dataclasses import dataclass

from retr.retrieval.filters.evaluation import LARGEST, SMALLEST, number
from retr.retrieval.filters.like import Wild, lower, read_pattern, sql_pattern
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
"""A condition with %s for each of the values, in order."""

_INDEX = re.compile(r"0|[1-9]\d{0,8}")
_LIKE_AN_INDEX = re.compile(r"\s*[+-]?\d+\s*")
_WHOLE = f"(scale({{0}}) = 0 AND {{0}} BETWEEN {SMALLEST} AND {LARGEST})"
# A jsonb number may be beyond float64, where a cast would be an error.
_FLOAT = (
    "(CASE WHEN {0} > 1.7976931348623158e308 THEN 'Infinity' WHEN {0} < -1.7976931348623158e308 THEN '-Infinity' "
    "ELSE {0}::float8 END)"
)


@dataclass(frozen=True, slots=True)
class _Operand:
    """Something to compare: SQL of a jsonb value, or of a text where `is_text`, and what each use must bind."""

    value: str
    bound: tuple[object, ...] = ()
    is_text: bool = False

    def typed(self, type: str, condition: str, values: list[object]) -> Bound:
        """The condition on {0} where the value is of a type; else false. CASE keeps a cast from what it cannot cast."""
        if self.is_text:
            return (condition.replace("{0}", self.value), values) if type == "string" else ("FALSE", [])
        as_type = {"string": "({0} #>> '{}')", "number": "({0})::numeric", "boolean": "({0})::boolean"}[type]
        inner = condition.replace("{0}", as_type.replace("{0}", self.value))
        sql = f"(CASE WHEN jsonb_typeof({self.value}) = '{type}' THEN {inner} ELSE FALSE END)"
        return sql, [*self.bound, *_interleaved(condition, self.bound, values)]


def _interleaved(condition: str, bound: tuple[object, ...], values: list[object]) -> list[object]:
    """What a condition binds, in the order of its operands {0} and its values %s."""
    found: list[object] = []
    waiting = iter(values)
    for piece in re.findall(r"\{0\}|%s", condition):
        found += bound if piece == "{0}" else [next(waiting)]
    return found


_MEMBER = _Operand("member")


def to_postgres(filter: Filter) -> Bound:
    """A condition that is never NULL, for `WHERE`, and the values for its `%s`s, in order."""
    match filter:
        case And(parts):
            return _join(" AND ", [to_postgres(part) for part in parts], empty="TRUE")
        case Or(parts):
            return _join(" OR ", [to_postgres(part) for part in parts], empty="FALSE")
        case Not(part):
            sql, bound = to_postgres(part)
            return f"(NOT {sql})", bound
        case Contains():
            return _contains(filter)
    return _leaf(filter, _operand(filter.field))


def _operand(field: Field) -> _Operand:
    """`#>` takes '01' and '-1' for places in a list, which a filter does not: such names are keys alone."""
    if field.column is not None:
        return _Operand({"id": "d.id", "title": "d.title"}[field.column], is_text=True)
    if "\x00" in "".join(field.path):
        return _Operand("NULL::jsonb")  # No key here holds a NUL.
    value, bound = "d.metadata", list[object]()
    for name in field.path:
        key_alone = _LIKE_AN_INDEX.fullmatch(name) and not _INDEX.fullmatch(name)
        value = f"({value} -> %s::text)" if key_alone else f"({value} #> ARRAY[%s::text])"
        bound.append(name)
    return _Operand(value, tuple(bound))


def _leaf(filter: Compare | Between | In | Like | IsNull, operand: _Operand) -> Bound:
    match filter:
        case Compare(_, op, value):
            return _compare(operand, op, value)
        case Between(_, low, high):
            return _join(" AND ", [_compare(operand, ">=", low), _compare(operand, "<=", high)], empty="TRUE")
        case In(_, values):
            return _join(" OR ", [_compare(operand, "=", value) for value in values], empty="FALSE")
        case Like():
            return _like(operand, filter)
        case IsNull():
            if operand.is_text:
                return "FALSE", []
            return f"(COALESCE(jsonb_typeof({operand.value}), 'null') = 'null')", [*operand.bound]


def _compare(operand: _Operand, op: Operator, value: Value) -> Bound:
    if isinstance(value, bool):
        return operand.typed("boolean", "{0} = %s::boolean", [value]) if op == "=" else ("FALSE", [])
    if isinstance(value, str):
        return _compare_text(operand, op, value)
    exact, close = number(value), float(number(value))
    as_float = f"{_FLOAT} {op} %s::float8"
    if isinstance(exact, float):
        return operand.typed("number", as_float, [close])
    sql = f"(CASE WHEN {_WHOLE} THEN {{0}} {op} %s::numeric ELSE {as_float} END)"
    return operand.typed("number", sql, [exact, close])


def _compare_text(operand: _Operand, op: Operator, value: str) -> Bound:
    """No text in PostgreSQL holds a NUL: none equals one that does, and what stands before the NUL tells the order."""
    before, nul, _ = value.partition("\x00")
    if nul and op == "=":
        return _no()
    op = _WITHOUT_NUL[op] if nul else op
    return operand.typed("string", f'{{0}} COLLATE "C" {op} %s::text', [before])


_WITHOUT_NUL: dict[Operator, Operator] = {"<": "<=", "<=": "<=", ">": ">", ">=": ">"}


def _no() -> Bound:
    return "FALSE", []


def _like(operand: _Operand, filter: Like) -> Bound:
    steps = read_pattern(filter.pattern, filter.escape)
    side = '{0} COLLATE "C"'
    if filter.ignore_case:
        steps = [step if isinstance(step, Wild) else lower(step) for step in steps]
        side = '(lower({0} COLLATE "pg_c_utf8") COLLATE "C")'
    pattern = sql_pattern(steps)
    if "\x00" in pattern:
        return _no()
    return operand.typed("string", f"{side} LIKE %s::text ESCAPE '\\'", [pattern])


def _contains(filter: Contains) -> Bound:
    if filter.field.column is not None:
        return _no()
    operand = _operand(filter.field)
    member: Bound = ("jsonb_typeof(member) = 'null'", [])
    if filter.value is not None:
        member = _compare(_MEMBER, "=", filter.value)
    lists = f"CASE WHEN jsonb_typeof({operand.value}) = 'array' THEN {operand.value} ELSE '[]'::jsonb END"
    sql = f"EXISTS (SELECT FROM jsonb_array_elements({lists}) AS members(member) WHERE {member[0]})"
    return sql, [*operand.bound, *operand.bound, *member[1]]


def _join(word: str, conditions: list[Bound], *, empty: str) -> Bound:
    sql = f"({word.join(sql for sql, _ in conditions)})" if conditions else empty
    return sql, [value for _, bound in conditions for value in bound]
