"""LlamaIndex's metadata filters to our filters, in the sense that its own SimpleVectorStore gives to every operator.

What the index cannot say (an `==` with a list, an `in` within a string) is decided by LlamaIndex's own function, for
each document. Two things are other here: values of types that have no order are not in order, where SimpleVectorStore
raises a TypeError; and filters may be nested.
"""

from collections.abc import Callable
from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from retr.integrations import python_values
from retr.integrations.llamaindex.nodes import EMPTY_LISTS
from retr.integrations.shelf import Shelf
from retr.retrieval.errors import BadInput
from retr.retrieval.filters import And, Compare, Contains, Field, Filter, IsNull, Like, Not, Or
from retr.retrieval.filters.tree import Operator
from retr.retrieval.records import Document

NEVER = Or(())


def to_filter(filters: MetadataFilters | None, shelf: Shelf) -> Filter | None:
    """The filter of a search; None when all pass."""
    if filters is None or not filters.filters:
        return None
    parts = tuple(_part(part, shelf) for part in filters.filters)
    condition = filters.condition or FilterCondition.AND
    if condition is FilterCondition.AND:
        return And(parts)
    return Or(parts) if condition is FilterCondition.OR else Not(Or(parts))


def _part(part: MetadataFilter | MetadataFilters, shelf: Shelf) -> Filter:
    if isinstance(part, MetadataFilters):
        return to_filter(part, shelf) or And(())
    decided = OPERATORS[part.operator](Field(("metadata", part.key)), part.value)
    return decided if decided is not None else shelf.where(_by_llamaindex(part))


def _by_llamaindex(part: MetadataFilter) -> Callable[[Document], bool]:
    def passes(document: Document) -> bool:
        return build_metadata_filter_fn(lambda _: document.metadata, MetadataFilters(filters=[part]))(document.id)

    return passes


def _equals(field: Field, value: Any) -> Filter | None:
    if value is None:
        return NEVER
    return python_values.equals(field, value) if isinstance(value, str | int | float) else None


def _differs(field: Field, value: Any) -> Filter | None:
    same = _equals(field, value)
    return None if same is None else Not(same)


def _ordered(operator: Operator) -> Callable[[Field, Any], Filter | None]:
    def compared(field: Field, value: Any) -> Filter | None:
        return python_values.ordered(field, operator, value) if isinstance(value, str | int | float) else None

    return compared


def _among(field: Field, values: Any) -> Filter | None:
    if not isinstance(values, list):
        return None
    return Or(tuple(python_values.equals(field, value) for value in values))


def _not_among(field: Field, values: Any) -> Filter | None:
    among = _among(field, values)
    return None if among is None else Not(among)


def _has(field: Field, value: Any) -> Filter | None:
    """`value in metadata`, as Python means it: a member of a list, or a part of a text."""
    if not isinstance(value, str | int | float):
        return None
    member = python_values.has_member(field, value)
    return Or((member, _part_of_text(field, value))) if isinstance(value, str) else member


def _has_any(field: Field, values: Any) -> Filter | None:
    return _each(field, values, Or)


def _has_all(field: Field, values: Any) -> Filter | None:
    every = _each(field, values, And)
    return None if every is None else And((Not(IsNull(field)), every))


def _each(field: Field, values: Any, join: Callable[[tuple[Filter, ...]], Filter]) -> Filter | None:
    if not isinstance(values, list | str):
        return None
    return join(tuple(found for value in values if (found := _has(field, value)) is not None))


def _text_match(field: Field, value: Any) -> Filter:
    return _part_of_text(field, _text(value))


def _text_match_insensitive(field: Field, value: Any) -> Filter:
    return _part_of_text(field, _text(value), ignore_case=True)


def _part_of_text(field: Field, text: str, *, ignore_case: bool = False) -> Filter:
    escaped = "".join(f"\\{character}" if character in "\\%_" else character for character in text)
    return Like(field, f"%{escaped}%", "\\", ignore_case)


def _is_empty(field: Field, _: Any) -> Filter:
    return Or((IsNull(field), Compare(field, "=", ""), Contains(Field((EMPTY_LISTS,)), field.names[-1])))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput(f"text_match needs a text; got {type(value).__name__} {value!r}.")
    return value


OPERATORS: dict[FilterOperator, Callable[[Field, Any], Filter | None]] = {
    FilterOperator.EQ: _equals,
    FilterOperator.NE: _differs,
    FilterOperator.GT: _ordered(">"),
    FilterOperator.GTE: _ordered(">="),
    FilterOperator.LT: _ordered("<"),
    FilterOperator.LTE: _ordered("<="),
    FilterOperator.IN: _among,
    FilterOperator.NIN: _not_among,
    FilterOperator.ANY: _has_any,
    FilterOperator.ALL: _has_all,
    FilterOperator.CONTAINS: _has,
    FilterOperator.TEXT_MATCH: _text_match,
    FilterOperator.TEXT_MATCH_INSENSITIVE: _text_match_insensitive,
    FilterOperator.IS_EMPTY: _is_empty,
}
