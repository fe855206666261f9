"""What LangChain's users give as `filter`: a mapping, a function of a document, or a filter of ours."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document as LangChainDocument

from retr.integrations.langchain.documents import from_document
from retr.integrations.shelf import Shelf, Where
from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.filters import And, Between, Compare, Contains, Field, Filter, In, IsNull, Like, Not, Or

LangChainFilter = str | Filter | Mapping[str, Any] | Callable[[LangChainDocument], bool] | None

OPERATORS: dict[str, Callable[[Field, Any], Filter]] = {
    "$eq": lambda field, value: _equals(field, value),
    "$ne": lambda field, value: Not(_equals(field, value)),
    "$gt": lambda field, value: Compare(field, ">", value),
    "$gte": lambda field, value: Compare(field, ">=", value),
    "$lt": lambda field, value: Compare(field, "<", value),
    "$lte": lambda field, value: Compare(field, "<=", value),
    "$between": lambda field, value: Between(field, value[0], value[1]),
    "$in": lambda field, value: Or(tuple(_equals(field, each) for each in _listed("$in", value))),
    "$nin": lambda field, value: Not(Or(tuple(_equals(field, each) for each in _listed("$nin", value)))),
    "$contains": lambda field, value: Contains(field, value),
    "$like": lambda field, value: Like(field, value, "\\"),
    "$ilike": lambda field, value: Like(field, value, "\\", ignore_case=True),
    "$exists": lambda field, value: Not(IsNull(field)) if value else IsNull(field),
}
"""As LangChain's stores for PostgreSQL, Chroma and others name them."""


def to_filter(given: LangChainFilter, shelf: Shelf) -> Where:
    """The filter of a search. BadInput for another type; NotFound for an operator that is not known."""
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        return _all(given)
    if callable(given):
        return shelf.where(lambda document: given(from_document(document)))
    return given


def _all(given: Mapping[str, Any]) -> Filter:
    """Every key of a mapping must hold; an empty mapping lets all pass."""
    return And(tuple(_one(name, value) for name, value in given.items()))


def _one(name: str, value: Any) -> Filter:
    if name in ("$and", "$or"):
        parts = tuple(_all(part) for part in _listed(name, value))
        return And(parts) if name == "$and" else Or(parts)
    if name == "$not":
        return Not(_all(value))
    if name.startswith("$"):
        raise unknown("operator of a filter", name, ["$and", "$or", "$not"])
    field = Field(("metadata", *name.split(".")))
    if not isinstance(value, Mapping):
        return _equals(field, value)
    return And(tuple(_test(field, operator, wanted) for operator, wanted in value.items()))


def _test(field: Field, operator: str, wanted: Any) -> Filter:
    if operator not in OPERATORS:
        raise unknown("operator of a filter", operator, OPERATORS)
    return OPERATORS[operator](field, wanted)


def _equals(field: Field, value: Any) -> Filter:
    if value is None:
        return IsNull(field)
    if not isinstance(value, str | int | float):
        raise BadInput(
            f"A filter compares with text, numbers, true, false and null; got {type(value).__name__} {value!r}. "
            "For a list's members use {'$contains': value}."
        )
    return In(field, (value,))


def _listed(operator: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise BadInput(f"{operator} in a filter needs a list; got {type(value).__name__} {value!r}.")
    return value
