"""The filter language of `--where` and `where=`: text to a tree, the tree to bound SQL, or to an answer in Python."""

from retr.retrieval.filters.evaluation import Filterable, matches
from retr.retrieval.filters.parser import parse
from retr.retrieval.filters.sql import to_sql
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
    Or,
    Value,
)

__all__ = [
    "And",
    "Between",
    "Compare",
    "Contains",
    "Field",
    "Filter",
    "Filterable",
    "In",
    "IsNull",
    "Like",
    "Not",
    "Or",
    "Value",
    "matches",
    "parse",
    "to_sql",
]
