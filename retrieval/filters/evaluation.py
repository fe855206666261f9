"""A filter applied to one record in plain Python: the oracle of the SQL, and quick enough for small sets."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from retr.retrieval.filters.like import Wild, lower, matches_pattern, read_pattern
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
from retr.retrieval.records import Metadata

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""Whole numbers that are compared exactly; JSON readers, DuckDB's included, take larger ones for float64."""

ORDERS: Mapping[Operator, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Filterable(Protocol):
    """What a filter looks at. `Document` and `Hit` are such."""

    @property
    def id(self) -> str:
        """The document's id."""
        ...

    @property
    def title(self) -> str:
        """The document's title."""
        ...

    @property
    def metadata(self) -> Metadata:
        """The document's metadata."""
        ...


def matches(filter: Filter, record: Filterable) -> bool:
    """Whether the record passes the filter."""
    match filter:
        case And(parts):
            return all(matches(part, record) for part in parts)
        case Or(parts):
            return any(matches(part, record) for part in parts)
        case Not(part):
            return not matches(part, record)
    return _leaf(filter, _read(filter.field, record))


def _leaf(filter: Compare | Between | In | Like | IsNull | Contains, found: Any) -> bool:
    match filter:
        case Compare(_, op, value):
            return _compare(found, op, value)
        case Between(_, low, high):
            return _compare(found, ">=", low) and _compare(found, "<=", high)
        case In(_, values):
            return any(_compare(found, "=", value) for value in values)
        case Like():
            return isinstance(found, str) and _like(found, filter)
        case IsNull():
            return found is None
        case Contains(_, value):
            return isinstance(found, list | tuple) and any(_member(item, value) for item in found)


def _read(field: Field, record: Filterable) -> Any:
    if field.column is not None:
        return record.id if field.column == "id" else record.title
    value: Any = record.metadata
    for name in field.path:
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list | tuple):
            value = _item(value, name)
        else:
            return None
    return value


def _item(items: list[Any] | tuple[Any, ...], name: str) -> Any:
    """The item of a list at a place written as a JSON pointer does: "0", "1", "10", never "01"."""
    places = (
        {str(place): place for place in (int(name),)} if name.isascii() and name.isdigit() and len(name) < 10 else {}
    )
    place = places.get(name, len(items))
    return items[place] if place < len(items) else None


def _member(item: Any, value: Value | None) -> bool:
    return item is None if value is None else _compare(item, "=", value)


def _compare(found: Any, op: Operator, value: Value) -> bool:
    if isinstance(found, bool) or isinstance(value, bool):
        return op == "=" and isinstance(found, bool) and isinstance(value, bool) and found == value
    if isinstance(found, str) and isinstance(value, str):
        return ORDERS[op](found, value)
    if not isinstance(found, int | float) or not isinstance(value, int | float):
        return False
    left, right = number(found), number(value)
    if isinstance(left, float) or isinstance(right, float):
        left, right = float(left), float(right)
    return ORDERS[op](left, right)


def number(value: int | float) -> int | float:
    """The number as it is compared: a whole number that 64 bits hold stays exact, anything else is a float64."""
    if isinstance(value, int) and SMALLEST <= value <= LARGEST:
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _like(found: str, filter: Like) -> bool:
    steps = read_pattern(filter.pattern, filter.escape)
    if not filter.ignore_case:
        return matches_pattern(found, steps)
    return matches_pattern(lower(found), [step if isinstance(step, Wild) else lower(step) for step in steps])
