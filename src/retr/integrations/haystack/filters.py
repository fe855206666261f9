"""Haystack's filter dictionaries to our filters, in its own sense of every operator.

What means the same in both is asked of the index. The rest (dates, which Haystack compares as points in time whatever
their form; content; lists) is decided by Haystack's own function, on the documents that pass the other conditions.
"""

from collections.abc import Callable, Mapping
from typing import Any

from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from retr.integrations import python_values
from retr.integrations.haystack.documents import from_document
from retr.integrations.shelf import Shelf
from retr.retrieval.filters import And, Compare, Field, Filter, IsNull, Not, Or
from retr.retrieval.filters.tree import Operator

HaystackFilter = Mapping[str, Any]

LOGIC: dict[str, Callable[[tuple[Filter, ...]], Filter]] = {
    "AND": And,
    "OR": Or,
    "NOT": lambda parts: Not(And(parts)),
}
OWN = ("content", "blob", "score", "embedding", "sparse_embedding", "meta")


class _Undecided(Exception):
    """The index cannot say; Haystack must."""


def to_filter(filters: HaystackFilter | None, shelf: Shelf) -> Filter | None:
    """The filter that lets the same documents pass as in Haystack's own stores. FilterError for a malformed one."""
    if not filters:
        return None
    conditions = filters.get("conditions") if filters.get("operator") == "AND" else None
    parts = conditions if isinstance(conditions, list) else [filters]
    decided: list[Filter] = []
    undecided = []
    for part in parts:
        try:
            decided.append(_filter(part))
        except _Undecided:
            undecided.append(dict(part))
    among = And(tuple(decided))
    if not undecided:
        return among
    rest = {"operator": "AND", "conditions": undecided}
    vectors = "embedding" in repr(rest)
    return shelf.where(
        lambda document: document_matches_filter(rest, from_document(document, return_embedding=vectors)), among
    )


def _filter(given: HaystackFilter) -> Filter:
    if not isinstance(given, Mapping):
        raise FilterError(f"A filter is a dictionary; got {type(given).__name__} {given!r}.")
    if "field" in given:
        return _comparison(given)
    operator = _needed(given, "operator")
    conditions = _needed(given, "conditions")
    if operator not in LOGIC:
        raise FilterError(f"Unknown logical operator {operator!r}. Known: {', '.join(LOGIC)}.")
    return LOGIC[operator](tuple(_filter(condition) for condition in conditions))


def _comparison(given: HaystackFilter) -> Filter:
    operator, value = _needed(given, "operator"), _needed(given, "value")
    if operator not in COMPARISONS:
        raise FilterError(f"Unknown comparison operator {operator!r}. Known: {', '.join(COMPARISONS)}.")
    return COMPARISONS[operator](_field(given["field"]), value)


def _needed(given: HaystackFilter, name: str) -> Any:
    if name not in given:
        raise FilterError(f"The filter {dict(given)!r} has no {name!r}.")
    return given[name]


def _field(name: str) -> Field:
    """Without `meta.`, a key of the metadata is meant, as in Haystack's filters of old."""
    if name == "id":
        return Field(("id",))
    prefix, dot, rest = name.partition(".")
    if dot and prefix == "meta":
        names = rest.split(".")
        if any(part.isdigit() for part in names):
            raise _Undecided  # We would look into a list there.
        return Field(("metadata", *names))
    if dot or name in OWN:
        raise _Undecided
    return Field(("metadata", name))


def _equals(field: Field, value: Any) -> Filter:
    if value is None:
        return IsNull(field)
    if isinstance(value, str) and not _like_a_date(value):
        return Compare(field, "=", value)
    if isinstance(value, int | float) and value == value:
        return python_values.equals(field, value)
    raise _Undecided


def _like_a_date(text: str) -> bool:
    return text[:4].isdigit() and text[4:5] == "-"


def _ordered(operator: Operator) -> Callable[[Field, Any], Filter]:
    def compared(field: Field, value: Any) -> Filter:
        if value is None:
            return Or(())
        if isinstance(value, int | float):
            return python_values.ordered(field, operator, value)
        raise _Undecided

    return compared


def _among(field: Field, values: Any) -> Filter:
    if not isinstance(values, list):
        raise FilterError(f"'in' and 'not in' need a list; got {type(values).__name__} {values!r}.")
    return Or(tuple(_equals(field, value) for value in values))


COMPARISONS: dict[str, Callable[[Field, Any], Filter]] = {
    "==": _equals,
    "!=": lambda field, value: Not(_equals(field, value)),
    ">": _ordered(">"),
    ">=": _ordered(">="),
    "<": _ordered("<"),
    "<=": _ordered("<="),
    "in": _among,
    "not in": lambda field, values: Not(_among(field, values)),
}
