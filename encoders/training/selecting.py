"""Files of rows as SQL: the query that brings a file's columns into the form of the table of rows."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retr.encoders.training.rows import RowsSettings

JSON_ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


def is_json(path: Path) -> bool:
    """Whether a file has a row of JSON a line; else it is Parquet."""
    return path.name.endswith(JSON_ENDINGS)


def present(name: str) -> str:
    """The query that gives a row where one of a file of JSON has that column; the path is its one parameter."""
    return f"SELECT 1 FROM {_json({name: 'VARCHAR'})} WHERE {_name(name)} IS NOT NULL LIMIT 1"


def select(settings: "RowsSettings", path: Path) -> str:
    """The query of a file's columns, in the order of the table; the path is its one parameter.

    It ends in an error where a list or an object stands for a text: it would be learnt as brackets and quotes.
    """
    texts = [settings.query, settings.positive, settings.instruction]
    values = [settings.label, settings.query_id, settings.positive_id, settings.group]
    lists = [*settings.negative_columns, settings.scores, settings.negative_ids]
    in_json = is_json(path)
    kinds = {name: "VARCHAR" for name in values if name} | {name: "JSON" for name in [*texts, *lists] if name}
    source = _json(kinds) if in_json else "read_parquet(?)"

    def value(name: str) -> str:
        return f"{_name(name)}::JSON" if in_json else f"to_json({_name(name)})"

    def one(name: str | None, kind: str = "VARCHAR") -> str:
        return f"{_name(name)}::{kind}" if name else "NULL"

    def text(name: str | None) -> str:
        return "NULL" if name is None else _one_text(value(name), f"{name!r} holds a list or an object, not one text")

    def many(name: str | None, kind: str = "VARCHAR") -> str:
        return "[]" if name is None else _list(value(name), kind, f"{name!r} holds something else than texts")

    negatives = "".join(f"list_concat({many(name)}, " for name in settings.negative_columns) + "[]"
    negatives += ")" * len(settings.negative_columns)
    ids = f"list_concat([{one(settings.positive_id)}], {many(settings.negative_ids)})"
    query = text(settings.query)
    if settings.instruction:
        query = f"coalesce({text(settings.instruction)}, '') || {query}"
    parts = [query, text(settings.positive), negatives, one(settings.label, "DOUBLE")]
    parts += [many(settings.scores, "DOUBLE"), one(settings.query_id), ids, one(settings.group)]
    return f"SELECT {', '.join(parts)} FROM {source}"


def _json(kinds: dict[str, str]) -> str:
    columns = ", ".join(f"{_text(name)}: '{kind}'" for name, kind in kinds.items())
    return f"read_json(?, format = 'newline_delimited', columns = {{{columns}}})"


def _one_text(value: str, wrong: str) -> str:
    nested = f"WHEN json_type({value}) IN ('ARRAY', 'OBJECT') THEN error({_text(wrong)})"
    return f"CASE WHEN {value} IS NULL THEN NULL {nested} ELSE {value} ->> '$' END"


def _list(value: str, kind: str, wrong: str) -> str:
    whole = f"""from_json({value}, '["{kind}"]')"""
    none, single = f"{value} IS NULL OR json_type({value}) = 'NULL'", f"[({value} ->> '$')::{kind}]"
    no_text = f"list_has_any([json_type({value})] || json_type({value}, '$[*]'), ['OBJECT', 'NULL'])"
    nested = f"list_contains(json_type({value}, '$[*]'), 'ARRAY')"
    return (
        f"CASE WHEN {none} THEN [] WHEN {no_text} OR {nested} THEN error({_text(wrong)}) "
        f"WHEN json_type({value}) = 'ARRAY' THEN {whole} ELSE {single} END"
    )


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
