"""Filters that compare metadata as Python does, where True is 1 and False is 0; ours keep them apart."""

from retr.retrieval.filters import Compare, Contains, Field, Filter, In, Or
from retr.retrieval.filters.evaluation import ORDERS
from retr.retrieval.filters.tree import Operator

Scalar = str | int | float | bool


def equals(field: Field, value: Scalar) -> Filter:
    """`metadata == value`."""
    return In(field, _twins(value))


def ordered(field: Field, operator: Operator, value: Scalar) -> Filter:
    """`metadata < value` and its like; what has no order with the value does not pass."""
    if isinstance(value, str):
        return Compare(field, operator, value)
    truths = tuple(truth for truth in (True, False) if ORDERS[operator](int(truth), value))
    return Or((Compare(field, operator, value if isinstance(value, float) else int(value)), In(field, truths)))


def has_member(field: Field, value: Scalar) -> Filter:
    """`value in metadata`, for a list."""
    return Or(tuple(Contains(field, twin) for twin in _twins(value)))


def _twins(value: Scalar) -> tuple[Scalar, ...]:
    if isinstance(value, str) or value not in (0, 1):
        return (value,)
    return (int(value), bool(value))
