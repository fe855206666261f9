"""What a filter is once it is read: a small tree of frozen nodes.

Every node answers true or false for every document, never "unknown": a field that is not there, or that holds another
type than the value it is compared with, makes a comparison false, and `Not` of it true.
"""

from dataclasses import dataclass
from typing import Literal

Value = str | int | float | bool
"""What a field is compared with. Numbers compare with numbers, strings with strings; a boolean is not a number."""

Operator = Literal["=", "<", "<=", ">", ">="]

COLUMNS = ("id", "title")
METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its names, outermost first: `("author", "name")` is `author.name`."""

    names: tuple[str, ...]

    @property
    def column(self) -> str | None:
        """`id` or `title` where the field is the document's own; None where it lies in the metadata."""
        return self.names[0] if len(self.names) == 1 and self.names[0] in COLUMNS else None

    @property
    def path(self) -> tuple[str, ...]:
        """The steps into the metadata; a leading `metadata.` is dropped, so that `metadata.id` is a key called id."""
        return self.names[1:] if len(self.names) > 1 and self.names[0] == METADATA else self.names


@dataclass(frozen=True, slots=True)
class Compare:
    """`field op value`. Strings are ordered by code point; booleans have no order, only `=`."""

    field: Field
    op: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Between:
    """`low <= field <= high`, both ends included."""

    field: Field
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class In:
    """The field equals one of the values."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """The field is a string of this pattern: `%` any run of characters, `_` any one, `escape` takes the next as it is.

    `ignore_case` compares the lower-case form of each character by itself.
    """

    field: Field
    pattern: str
    escape: str = ""
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    """The field is not there, or holds null."""

    field: Field


@dataclass(frozen=True, slots=True)
class Contains:
    """The field is a list that has this value as a member (None: a null member)."""

    field: Field
    value: Value | None


@dataclass(frozen=True, slots=True)
class And:
    """All of the parts hold; an empty one is true."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """One of the parts holds, at least; an empty one is false."""

    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Filter"


Filter = Compare | Between | In | Like | IsNull | Contains | And | Or | Not
