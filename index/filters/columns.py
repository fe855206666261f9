"""One field of all documents as sorted distinct values and a code a row, so that a filter is a few binary searches.

A second form of what `to_sql` and `matches` say, quick enough to be asked again and again. It holds plain arrays alone
and never changes: any number of threads read it, and a forked process does too.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.filters import Between, Compare, Contains, In, IsNull, Like, Value
from retr.retrieval.filters.evaluation import number
from retr.retrieval.filters.like import Wild, lower, matches_pattern, read_pattern
from retr.retrieval.filters.sql import pointer
from retr.retrieval.filters.tree import Operator

Leaf = Compare | Between | In | Like | IsNull | Contains

KINDS = ("NULL", "BOOLEAN", "BIGINT", "UBIGINT", "DOUBLE", "VARCHAR", "OTHER")
"""The kinds of JSON values in the order of their codes. A missing field counts as null; lists and objects are OTHER."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a test's values stand: the column `id` or `title`, or a JSON pointer; `members` means those of the list."""

    place: str
    members: bool

    @classmethod
    def of(cls, leaf: Leaf) -> "Source":
        """The source of the values that a test looks at."""
        return cls(leaf.field.column or pointer(leaf.field.path), isinstance(leaf, Contains))


@dataclass(frozen=True, slots=True)
class Texts(Sequence[bytes]):
    """Sorted strings in one block of UTF-8, whose bytes sort as their code points do."""

    data: bytes
    ends: NDArray[np.int64]  # (strings + 1,), the first of them 0

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Texts":
        """Pack strings that are sorted already."""
        encoded = [text.encode() for text in texts]
        return cls(b"".join(encoded), np.cumsum([0, *map(len, encoded)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, at: Any) -> Any:
        return self.data[self.ends[at] : self.ends[at + 1]]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return len(self.data) + self.ends.nbytes


@dataclass(frozen=True, slots=True)
class Column:
    """A field's values. Codes count the distinct values in the order of `KINDS`, and by size within a kind.

    `owners` is None where every document has one value, in order. In a column of a list's members it holds the document
    of each member.
    """

    documents: int
    codes: NDArray[Any]  # (values,), the smallest unsigned type that fits
    owners: NDArray[Any] | None  # (values,)
    counts: Mapping[str, int]  # distinct values of each kind
    numbers: Mapping[str, NDArray[Any]]  # of BOOLEAN, BIGINT, UBIGINT and DOUBLE: the distinct values, sorted
    texts: Texts

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        owners = 0 if self.owners is None else self.owners.nbytes
        return self.codes.nbytes + owners + self.texts.nbytes + sum(values.nbytes for values in self.numbers.values())

    def where(self, leaf: Leaf) -> NDArray[np.bool_]:
        """The documents that pass a test of this field; shape (documents,)."""
        passed: NDArray[np.bool_] = self._distinct(leaf)[self.codes]
        if self.owners is None:
            return passed
        found = np.zeros(self.documents, np.bool_)
        found[self.owners[passed]] = True
        return found

    def _distinct(self, leaf: Leaf) -> NDArray[np.bool_]:
        """Which distinct values pass, by code."""
        match leaf:
            case Compare(_, op, value):
                return self._marked(self._compare(op, value))
            case Between(_, low, high):
                return self._marked(self._compare(">=", low)) & self._marked(self._compare("<=", high))
            case In(_, values):
                return self._marked(span for value in values for span in self._compare("=", value))
            case Contains(_, wanted):
                return self._marked([self._span("NULL")] if wanted is None else self._compare("=", wanted))
            case IsNull():
                return self._marked([self._span("NULL")])
            case Like():
                return self._like(leaf)

    def _marked(self, spans: Iterator[tuple[int, int]] | list[tuple[int, int]]) -> NDArray[np.bool_]:
        marks = np.zeros(sum(self.counts.values()), np.bool_)
        for start, end in spans:
            marks[start:end] = True
        return marks

    def _span(self, kind: str) -> tuple[int, int]:
        before = sum(self.counts.get(each, 0) for each in KINDS[: KINDS.index(kind)])
        return before, before + self.counts.get(kind, 0)

    def _compare(self, op: Operator, value: Value) -> Iterator[tuple[int, int]]:
        """The spans of codes that compare so with the value: at most one a kind."""
        if isinstance(value, bool):
            if op == "=":
                yield self._found("BOOLEAN", op, value, bool)
        elif isinstance(value, str):
            yield self._found("VARCHAR", op, value.encode("utf-8", "surrogatepass"), bytes)
        else:
            wanted = number(value)
            for kind in ("BIGINT", "UBIGINT"):
                yield self._found(kind, op, wanted, type(wanted))
            yield self._found("DOUBLE", op, float(wanted), float)

    def _found(self, kind: str, op: Operator, value: Any, read: Callable[[Any], Any]) -> tuple[int, int]:
        values: Any = self.texts if kind == "VARCHAR" else self.numbers.get(kind, ())
        left = bisect_left(values, value, key=read)
        right = bisect_right(values, value, lo=left, key=read)
        start, end = {
            "=": (left, right),
            "<": (0, left),
            "<=": (0, right),
            ">": (right, len(values)),
            ">=": (left, len(values)),
        }[op]
        first, _ = self._span(kind)
        return first + start, first + end

    def _like(self, leaf: Like) -> NDArray[np.bool_]:
        steps = read_pattern(leaf.pattern, leaf.escape)
        if leaf.ignore_case:
            steps = [step if isinstance(step, Wild) else lower(step) for step in steps]
        marks = self._marked([])
        first, _ = self._span("VARCHAR")
        for place, raw in enumerate(self.texts):
            text = raw.decode()
            marks[first + place] = matches_pattern(lower(text) if leaf.ignore_case else text, steps)
        return marks
