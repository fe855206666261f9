"""Rows of training data in a database on disk: larger than memory, without doubles, in an order drawn from a seed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from retr.encoders.training.batches import Batch
from retr.encoders.training.selecting import JSON_ENDINGS, is_json, present, select
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.stamps import sha256_of

ROWS_AT_ONCE = 1024
MEMORY = "1GB"


@dataclass(frozen=True, slots=True)
class RowsSettings:
    """Which files, and the names of their columns. A column of negatives, scores or ids may hold one value or a list.

    `scores` lists the positive's score and then each negative's. Without ids, equal texts are the same thing. Texts
    alone, as SimCSE takes them, are one column named twice, as `query` and as `positive`. `instruction` is put before
    the row's query. Rows of one `group`, such as a data set or a cluster of one, fill batches of their own; what is
    left over of each fills mixed ones at the end. Of groups of unequal size, shares of an epoch are as their sizes to
    the power of 1 / `temperature`: the smallest is read whole, of the others another part each epoch.
    """

    files: str | tuple[str, ...]
    query: str = "query"
    positive: str = "positive"
    negatives: str | tuple[str, ...] = ()
    label: str | None = None
    scores: str | None = None
    query_id: str | None = None
    positive_id: str | None = None
    negative_ids: str | None = None
    instruction: str | None = None
    group: str | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuse no files, and ids of half of the texts."""
        if not self.paths:
            raise BadInput("files is empty; name at least one .jsonl or .parquet file.")
        if self.negative_columns and bool(self.positive_id) != bool(self.negative_ids):
            raise BadInput("positive_id and negative_ids belong together: name both columns, or neither.")
        if not 1 <= self.temperature < inf:
            raise BadInput(f"temperature is {self.temperature}; give 1, for every row, or more, for nearer shares.")
        if self.temperature > 1 and self.group is None:
            raise BadInput("temperature is of groups, and none is named. Name their column: group.")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(Path(name) for name in ((self.files,) if isinstance(self.files, str) else self.files))

    @property
    def negative_columns(self) -> tuple[str, ...]:
        """The columns of negatives."""
        return (self.negatives,) if isinstance(self.negatives, str) else self.negatives

    @property
    def optional_columns(self) -> tuple[str, ...]:
        """The columns that are named beside query and positive."""
        named = (self.label, self.scores, self.query_id, self.positive_id, self.negative_ids, self.instruction)
        return (*self.negative_columns, *(name for name in (*named, self.group) if name))


class Rows:
    """The rows of some files, read once into `folder`; the same files give the same batches on every machine."""

    def __init__(self, settings: RowsSettings, folder: Path) -> None:
        import duckdb

        self.settings = settings
        for path in settings.paths:
            _check(path)
        self.hashes = {path.name: sha256_of(path) for path in settings.paths}
        folder.mkdir(parents=True, exist_ok=True)
        database = folder / "rows.duckdb"
        database.unlink(missing_ok=True)
        self._connection = duckdb.connect(str(database))
        self._connection.execute(f"SET memory_limit = '{MEMORY}'")
        self._connection.execute("SET autoinstall_known_extensions = false")
        self._connection.execute("SET threads = 2")
        self._turn: tuple[int, int, int] | None = None
        self.read = self._fill()
        self.count = self._number("SELECT count(*) FROM rows")
        self._drawn = self.count
        if settings.group is not None:
            self._drawn = self._number(f"SELECT count(*) FROM ({_drawn(settings.temperature)})")
        if not self.count:
            raise BadInput(f"There is no row in {', '.join(map(str, settings.paths))}. Give at least one.")

    @property
    def doubles(self) -> int:
        """How many rows were left out because another one is the same in every column."""
        return self.read - self.count

    def batches(
        self, size: int, *, seed: int, epoch: int = 0, skip: int = 0, share: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """One epoch's batches of `size` rows, without the first `skip`; of them the part (this, of) of each.

        With `of` processes a step takes `of * size` rows, and every process sees its own. Rows that do not fill a step
        are left to other epochs, unless they are all there is.
        """
        this, of = share
        self._shuffle(seed, epoch, size * of)
        for step in range(skip, self.steps(size, of)):
            first = (step * of + this) * size
            yield self._batch(first, min(size, self._drawn - first))

    def every(self, size: int) -> Iterator[Batch]:
        """All rows once, in an order of their own, the last batch smaller: for measuring."""
        self._shuffle(0, 0)
        for first in range(0, self.count, size):
            yield self._batch(first, min(size, self.count - first))

    def steps(self, size: int, of: int = 1) -> int:
        """How many steps an epoch has; BadInput where `of` processes have too few rows for one."""
        if of > 1 and self._drawn < size * of:
            raise BadInput(
                f"{of} processes of batch_size {size} need {size * of} rows; there are {self._drawn}. Use fewer."
            )
        return max(self._drawn // (size * of), 1)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def _fill(self) -> int:
        """Read the files; how many rows they have."""
        columns = {**_COLUMNS, "grp": "VARCHAR"}
        self._connection.execute(f"CREATE TABLE raw ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
        for path in self.settings.paths:
            self._read_file(path)
        self._check_columns()
        total = self._number("SELECT count(*) FROM raw")
        # The key is made of the content, so the order of the rows depends neither on the files' nor on the threads'.
        self._connection.execute(f"CREATE TABLE rows AS SELECT DISTINCT {_KEY} AS key, * FROM raw")
        self._connection.execute("DROP TABLE raw")
        return total

    def _read_file(self, path: Path) -> None:
        import duckdb

        try:
            self._connection.execute(f"INSERT INTO raw {select(self.settings, path)}", [str(path)])
        except duckdb.Error as error:
            line = re.sub(r"^[A-Za-z ]+ Error: ", "", " ".join(str(error).split("\n\n")[0].split()))
            raise BadInput(
                f"{path} cannot be read: {line.rstrip('.')}. Check the columns named in the recipe."
            ) from None

    def _check_columns(self) -> None:
        """BadInput for a column that no row has, and for rows that cannot be learnt from.

        A file of Parquet that lacks a column is told of already.
        """
        paths = self.settings.paths
        where = ", ".join(map(str, paths))
        for name in self.settings.optional_columns if all(map(is_json, paths)) else ():
            if not any(self._connection.execute(present(name), [str(path)]).fetchall() for path in paths):
                raise BadInput(f"{where}: no row has anything in {name!r}. Correct the column's name, or leave it out.")
        for wrong, told in _wrong(self.settings):
            if bad := self._number(f"SELECT count(*) FROM raw WHERE {wrong}"):
                raise BadInput(f"{where}: {bad} of its rows {told}")

    def _shuffle(self, seed: int, epoch: int, together: int = 0) -> None:
        """Put the rows into the epoch's order, so that a batch is a range of places: so many `together` of one group.

        0 is all rows, whatever their group.
        """
        if self._turn != (seed, epoch, together):
            grouped = together and self.settings.group is not None
            drawn = f"md5(concat_ws('/', {int(seed)}, {int(epoch)}, key))"
            wanted = (
                _in_groups(drawn, together, self.settings.temperature)
                if grouped
                else f"SELECT *, {drawn} AS spot FROM rows"
            )
            order = "whole DESC, spot, grp, n, key" if grouped else "spot, key"
            self._connection.execute(
                f"CREATE OR REPLACE TABLE turn AS SELECT row_number() OVER (ORDER BY {order}) - 1 AS place, * "
                f"FROM ({wanted}) ORDER BY place"
            )
            self._turn = (seed, epoch, together)

    def _batch(self, first: int, size: int) -> Batch:
        names = ", ".join(_COLUMNS)
        found = self._connection.execute(
            f"SELECT {names} FROM turn WHERE place >= ? AND place < ? ORDER BY place", [first, first + size]
        ).fetchall()
        columns: dict[str, Any] = dict(zip(_COLUMNS, zip(*found, strict=True), strict=True))
        settings = self.settings
        return Batch(
            queries=columns["query"],
            positives=columns["positive"],
            negatives=tuple(map(tuple, columns["negatives"])) if settings.negative_columns else (),
            labels=columns["label"] if settings.label else None,
            scores=tuple(map(tuple, columns["scores"])) if settings.scores else None,
            query_ids=columns["query_id"] if settings.query_id else (),
            ids=tuple(map(tuple, columns["ids"])) if settings.positive_id else (),
        )

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchall()[0][0])


_COLUMNS = {
    "query": "VARCHAR", "positive": "VARCHAR", "negatives": "VARCHAR[]", "label": "DOUBLE", "scores": "DOUBLE[]",
    "query_id": "VARCHAR", "ids": "VARCHAR[]",
}  # fmt: skip

_KEY = f"md5(to_json(struct_pack({', '.join(f'{name} := {name}' for name in _COLUMNS)}))::VARCHAR)"
"""Of a row's content alone, and not of its group."""


def _drawn(temperature: float, order: str = "key") -> str:
    """The query of an epoch's rows: `n` counts those of a group in an order, `taken` is how many of it there are."""
    sizes = "SELECT grp AS owner, count(*) AS total, min(count(*)) OVER () AS least FROM rows GROUP BY grp"
    share = f"ceil(total * pow(total / least, {1 / temperature - 1!r}))::BIGINT"
    counted = f"SELECT *, row_number() OVER (PARTITION BY grp ORDER BY {order}, key) - 1 AS n FROM rows"
    joined = f"({counted}) JOIN (SELECT owner, {share} AS taken FROM ({sizes})) ON grp IS NOT DISTINCT FROM owner"
    return f"SELECT * FROM {joined} WHERE n < taken"


def _in_groups(order: str, together: int, temperature: float) -> str:
    """The query of an epoch's rows with `spot`, by which whole batches of a group are placed, and then the rest."""
    batch = f"md5(concat_ws('/', min({order}) OVER (PARTITION BY grp, n // {together})))"
    whole = f"n < taken - taken % {together}"
    placed = f"CASE WHEN {whole} THEN {batch} ELSE {order} END AS spot"
    return f"SELECT *, {whole} AS whole, {placed} FROM ({_drawn(temperature, order)})"


def _wrong(settings: RowsSettings) -> Iterator[tuple[str, str]]:
    """Conditions of rows that cannot be learnt from, and what they are told to be."""
    told = f"lack a text in {settings.query!r} and {settings.positive!r}. Name their columns: query, positive."
    yield f"{_blank('query')} OR {_blank('positive')}", told
    if settings.label:
        yield "label IS NULL OR NOT isfinite(label)", f"have no number in {settings.label!r}. Give each a label."
    if settings.scores:
        yield (
            "len(scores) != 1 + len(negatives)",
            f"have not as many numbers in {settings.scores!r} as texts: the positive's score, then each negative's.",
        )
        number = "list_count(scores) = len(scores) AND isfinite(list_sum(scores))"
        yield f"NOT ({number})", f"have a score in {settings.scores!r} that is no number. Give each text its score."


def _blank(name: str) -> str:
    return f"coalesce(trim({name}), '') = ''"


def _check(path: Path) -> None:
    """NotFound without the file, BadInput for one of another kind."""
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}. Check the files of the recipe.")
    if not path.name.endswith((*JSON_ENDINGS, ".parquet")):
        raise BadInput(f"{str(path)!r} is neither .jsonl nor .parquet. Write the rows into one of these.")
