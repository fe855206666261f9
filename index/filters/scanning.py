"""DuckDB over the documents' Parquet files, locked down: it reads those files, and nothing else, and writes nowhere."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.filters.columns import KINDS, Column, Source, Texts
from retr.retrieval.errors import BadInput, Damaged
from retr.retrieval.filters import Filter, to_sql

# A folder called `id=7` must not become a column, nor one called `a[1]` a pattern that `a1` fits (hence `escape`).
FILE = "read_parquet(?, file_row_number = true, hive_partitioning = false)"
JSON_KIND = "IF(json_type(value) IN ('ARRAY', 'OBJECT'), 'OTHER', COALESCE(json_type(value), 'NULL'))"


@dataclass(frozen=True, slots=True)
class _Form:
    """The SQL of the values that a source has, and of the kind and the text of a value."""

    values: str
    kind: str = JSON_KIND
    text: str = "json_extract_string(value, '$')"


METADATA = _Form("json_extract(metadata, ?)")
MEMBERS = _Form("unnest(json_extract(json_extract(metadata, ?), '$[*]'))")
COLUMNS = {name: _Form(name, "IF(value IS NULL, 'NULL', 'VARCHAR')", "value") for name in ("id", "title")}

HOLD = f"CREATE TEMP TABLE held AS SELECT file_row_number AS row, {{form.values}} AS value FROM {FILE}"
DIFFER = (
    "CREATE TEMP TABLE differing AS "
    "SELECT value, {form.kind} AS kind, row_number() OVER () - 1 AS code FROM (SELECT DISTINCT value FROM held)"
)
CODES = "SELECT row, code FROM held JOIN differing ON held.value IS NOT DISTINCT FROM differing.value"

NUMBERS: Mapping[str, Any] = MappingProxyType(
    {"BOOLEAN": np.bool_, "BIGINT": np.int64, "UBIGINT": np.uint64, "DOUBLE": np.float64}
)


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """What DuckDB may use while it reads: bytes of memory, and threads."""

    memory: int = 1 << 30
    threads: int = 4


class TooLarge(BadInput):
    """DuckDB needed more memory than it may have."""


@contextmanager
def open_scanner(paths: Sequence[str], limits: ScanLimits) -> Iterator["Scanner"]:
    """A scanner of these files, given by absolute path. Nothing of DuckDB is left when the block ends."""
    import duckdb

    settings: dict[str, Any] = {"threads": min(limits.threads, os.cpu_count() or 1)}
    settings |= {"memory_limit": f"{limits.memory}B", "temp_directory": ""}
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.execute("SET allowed_paths = ?", [[form for path in paths for form in (path, escape(path))]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield Scanner(connection, limits)


class Scanner:
    """What is asked of a file of documents. TooLarge for what needs too much memory; Damaged for an unreadable file."""

    def __init__(self, connection: Any, limits: ScanLimits) -> None:
        self._connection = connection
        self._limits = limits

    def passing(self, path: str, rows: int, filter: Filter) -> NDArray[np.bool_]:
        """The documents that pass; shape (rows,), by position in the file."""
        condition, bound = to_sql(filter)
        with self._errors_of(path):
            found = self._table(f"SELECT file_row_number AS row FROM {FILE} WHERE {condition}", [escape(path), *bound])
        passed = np.zeros(rows, np.bool_)
        passed[_inside(found["row"], rows, path)] = True
        return passed

    def column(self, path: str, rows: int, source: Source) -> Column:
        """The values that the documents have at a place."""
        form = COLUMNS.get(source.place, MEMBERS if source.members else METADATA)
        bound = [] if source.place in COLUMNS else [source.place]
        with self._errors_of(path):
            try:
                self._run(HOLD.format(form=form), [*bound, escape(path)])
                self._run(DIFFER.format(form=form))
                found = self._table(CODES)
                ranked = {kind: self._ranked(kind, form.text) for kind in KINDS}
            finally:
                self._run("DROP TABLE IF EXISTS held; DROP TABLE IF EXISTS differing")
        places = _inside(found["row"], rows, path)
        if source.members:
            return _column(rows, places.astype(np.min_scalar_type(rows)), found["code"], ranked)
        if len(places) != rows:
            raise Damaged(f"{path!r} holds {len(places)} documents, not {rows}. Run: retr check")
        codes = np.empty(rows, np.int64)
        codes[places] = found["code"]
        return _column(rows, None, codes, ranked)

    def _ranked(self, kind: str, text: str) -> "_Ranked":
        """The distinct values of a kind, in order, and the codes that they have so far."""
        value = f"CAST({text} AS {kind})" if kind in NUMBERS else text if kind == "VARCHAR" else "NULL"
        found = self._table(f"SELECT code, {value} AS value FROM differing WHERE kind = ? ORDER BY value", [kind])
        return _Ranked(found["code"], found["value"])

    def _run(self, query: str, bound: Sequence[object] = ()) -> Any:
        return self._connection.execute(query, list(bound))

    def _table(self, query: str, bound: Sequence[object] = ()) -> Mapping[str, NDArray[Any]]:
        found: Mapping[str, NDArray[Any]] = self._run(query, bound).fetchnumpy()
        return found

    @contextmanager
    def _errors_of(self, path: str) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.OutOfMemoryException:
            megabytes = self._limits.memory >> 20
            raise TooLarge(f"The filter needs more than {megabytes} MiB over {path!r}. Name fewer fields.") from None
        except (duckdb.IOException, duckdb.PermissionException, duckdb.InvalidInputException) as error:
            reason = str(error).partition("\n")[0]
            raise Damaged(f"{path!r} cannot be filtered ({reason}). Run: retr check") from None


@dataclass(frozen=True, slots=True)
class _Ranked:
    codes: NDArray[Any]
    values: NDArray[Any]


def _inside(places: NDArray[Any], rows: int, path: str) -> NDArray[np.int64]:
    if len(places) and places.max() >= rows:
        raise Damaged(f"{path!r} holds more than the {rows} documents that it should. Run: retr check")
    return np.asarray(places, np.int64)


def _column(rows: int, owners: NDArray[Any] | None, codes: NDArray[Any], ranked: Mapping[str, _Ranked]) -> Column:
    order = np.concatenate([ranked[kind].codes for kind in KINDS]).astype(np.int64)
    rank = np.empty(len(order), np.min_scalar_type(len(order)))
    rank[order] = np.arange(len(order))
    return Column(
        documents=rows,
        codes=rank[codes],
        owners=owners,
        counts={kind: len(ranked[kind].codes) for kind in KINDS},
        numbers={kind: np.asarray(ranked[kind].values, dtype) for kind, dtype in NUMBERS.items()},
        texts=Texts.of(list(ranked["VARCHAR"].values)),
    )
