"""Which documents of a segment pass a filter: from the Parquet file at first, from kept columns afterwards.

The first time that a field is asked for, DuckDB runs the whole filter over the file, which is the quickest way to one
answer. A field that is asked for again is read into a `Column`, and filters over kept columns alone need no DuckDB.

A DuckDB instance has threads of its own and crashes a forked process that lets go of it (seen with 2.0), so none is
left open between calls.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from retr.index.filters.columns import Column, Leaf, Source
from retr.index.filters.scanning import ScanLimits, Scanner, TooLarge, open_scanner
from retr.retrieval.filters import And, Contains, Filter, Like, Not, Or

_MOST_ASKED = 1024


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """What the filters of one segment may use.

    Kept columns take `kept` bytes at most, or `kept_each` a document where that is more; the longest unused go first.
    A filter over more than `fields` fields is always run over the file, and so is a `like` over more than `texts`
    distinct strings, where DuckDB is quicker than a look at each.
    """

    kept: int = 16 << 20
    kept_each: int = 96
    fields: int = 8
    texts: int = 4096
    scan: ScanLimits = field(default_factory=ScanLimits)


DEFAULT_LIMITS = FilterLimits()


class DocumentFilter:
    """The documents of one segment as a query engine sees them; shared by threads, safe after fork."""

    def __init__(self, path: Path, rows: int, limits: FilterLimits = DEFAULT_LIMITS) -> None:
        self._path = os.path.abspath(path)
        self._rows = rows
        self._limits = limits
        self._kept: OrderedDict[Source, Column] = OrderedDict()
        self._asked: dict[Source, bool] = {}  # True for what is too large to keep
        self._loading = threading.Lock()
        _ALL.add(self)

    def where(self, filter: Filter) -> NDArray[np.bool_]:
        """The documents that pass, by position in the file; shape (rows,).

        Damaged when the file cannot be read; BadInput when the filter needs more memory than it may have.
        """
        return where_all([self], filter)[0]

    @property
    def kept_bytes(self) -> int:
        """The bytes of the columns that are kept now."""
        return sum(column.nbytes for column in list(self._kept.values()))

    def _from_kept(self, filter: Filter, leaves: Sequence[Leaf]) -> NDArray[np.bool_] | None:
        """The answer, if the columns that are kept have it."""
        columns: dict[Source, Column] = {}
        for leaf in leaves:
            source = Source.of(leaf)
            column = self._kept.get(source)
            if column is None or (isinstance(leaf, Like) and len(column.texts) > self._limits.texts):
                return None
            with suppress(KeyError):  # another thread may have dropped it meanwhile
                self._kept.move_to_end(source)
            columns[source] = column
        return _answer(filter, columns, self._rows)

    def _from_file(self, scanner: Scanner, filter: Filter, leaves: Sequence[Leaf]) -> NDArray[np.bool_]:
        sources = dict.fromkeys(map(Source.of, leaves))
        if len(sources) <= self._limits.fields:
            with self._loading:
                self._load(scanner, sources)
        answer = self._from_kept(filter, leaves)
        return scanner.passing(self._path, self._rows, filter) if answer is None else answer

    def _load(self, scanner: Scanner, sources: Mapping[Source, None]) -> None:
        """Keep the columns that are asked for again; remember the others."""
        for source in sources:
            if source not in self._asked:
                self._asked[source] = False
            elif source not in self._kept and not self._asked[source]:
                self._keep(source, scanner)
        while len(self._asked) > _MOST_ASKED:
            del self._asked[next(iter(self._asked))]

    def _keep(self, source: Source, scanner: Scanner) -> None:
        most = max(self._limits.kept, self._limits.kept_each * self._rows)
        try:
            column = scanner.column(self._path, self._rows, source)
        except TooLarge:
            self._asked[source] = True
            return
        if column.nbytes > most:
            self._asked[source] = True
            return
        self._kept[source] = column
        while self.kept_bytes > most:
            dropped, _ = self._kept.popitem(last=False)
            self._asked.pop(dropped, None)


def where_all(segments: Sequence[DocumentFilter], filter: Filter) -> list[NDArray[np.bool_]]:
    """`where` of several segments; what must be read from files is read by one DuckDB, which takes time to start."""
    leaves = list(_leaves(filter))
    kept = [segment._from_kept(filter, leaves) for segment in segments]
    missing = [segment for segment, answer in zip(segments, kept, strict=True) if answer is None]
    if not missing:
        return [answer for answer in kept if answer is not None]
    with open_scanner([segment._path for segment in missing], missing[0]._limits.scan) as scanner:
        return [
            segment._from_file(scanner, filter, leaves) if answer is None else answer
            for segment, answer in zip(segments, kept, strict=True)
        ]


def _leaves(filter: Filter) -> Iterator[Leaf]:
    """The tests of a filter that look at values; `'x' in title` looks at none."""
    match filter:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case Contains(place, _) if place.column is not None:
            return
        case _:
            yield filter


def _answer(filter: Filter, columns: Mapping[Source, Column], rows: int) -> NDArray[np.bool_]:
    match filter:
        case And(parts):
            answer = np.ones(rows, np.bool_)
            for part in parts:
                answer &= _answer(part, columns, rows)
            return answer
        case Or(parts):
            answer = np.zeros(rows, np.bool_)
            for part in parts:
                answer |= _answer(part, columns, rows)
            return answer
        case Not(part):
            return ~_answer(part, columns, rows)
        case Contains(place, _) if place.column is not None:
            return np.zeros(rows, np.bool_)
        case _:
            return columns[Source.of(filter)].where(filter)


_ALL: WeakSet[DocumentFilter] = WeakSet()


def _renew_locks() -> None:
    """A thread that held a lock when the process was forked does not live on in the child to let go of it."""
    for each in list(_ALL):
        each._loading = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)
