"""One transaction that changes a collection: rows out, rows in by binary COPY, and the counts of the catalogue."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg import sql

from retr.index.postgres.binary import END, START, int4, int8, ints, jsonb, row, vector
from retr.index.postgres.connecting import Connection
from retr.index.postgres.reading import Entry
from retr.index.postgres.schema import Tables
from retr.index.postgres.tokens import TokenChanges
from retr.index.stores.words import counted
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document
from retr.retrieval.store import MAX_PASSAGES, CodedTokens, StoredDocument
from retr.retrieval.store_words import kept_length

_BLOCK = 1 << 20
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_COLUMNS = {
    "documents": "number, id, title, text, metadata, source, spans, text_hash, record_hash",
    "passages": "document, ordinal, vector, codec, tokens",
    "postings": "term, document, ordinal, count, length",
    "lists": "list, document, ordinal",
}


class Changes:
    """Writes under the lock of the collection's row, which is what keeps writers one after another."""

    def __init__(self, connection: Connection, entry: Entry, name: str) -> None:
        self._connection, self._entry, self._name, self._tables = connection, entry, name, Tables(entry.home)
        facts = entry.facts
        self._documents, self._passages, self._length = facts.documents, facts.passages, facts.length
        self._next = entry.next_number
        self._tokens = TokenChanges(connection, self._tables, wanted=facts.late is not None)

    def remove(self, numbers: Iterable[int], ids: Sequence[str]) -> int:
        """Take documents out by number and by id; says how many there were."""
        gone = self._run(
            "DELETE FROM {documents} WHERE number = ANY(%s) OR id = ANY(%s) RETURNING number, cardinality(spans) / 2",
            [list(map(int, numbers)), list(ids)],
        )
        if gone:
            chosen = [[number for number, _ in gone]]
            self._tokens.removed(*chosen)
            lengths = self._run(
                """WITH gone AS (DELETE FROM {postings} WHERE document = ANY(%s) RETURNING count)
                SELECT COALESCE(sum(count), 0)::bigint FROM gone""",
                chosen,
            )
            self._length -= lengths[0][0]
            self._documents -= len(gone)
            self._passages -= sum(passages for _, passages in gone)
        return len(gone)

    def add(self, documents: Sequence[StoredDocument]) -> None:
        """Put documents in, with new numbers."""
        rows: dict[str, list[bytes]] = {name: [] for name in _COLUMNS}
        language = str(self._entry.facts.settings["language"])
        for stored in documents:
            number, self._next = self._next, self._next + 1
            rows["documents"].append(_document(number, stored))
            rows["passages"] += self._passages_of(number, stored)
            rows["lists"] += self._tokens.lists(number, stored.tokens)
            for ordinal, counts in enumerate(counted(stored, language)):
                length = sum(counts.values())
                kept, place = int4(kept_length(length)), (int8(number), int4(ordinal))
                self._length += length
                rows["postings"] += [row([term.encode(), *place, int4(count), kept]) for term, count in counts.items()]
            self._documents += 1
            self._passages += len(stored.spans)
        for name, columns in _COLUMNS.items():
            if rows[name]:
                self._copy(name, columns, rows[name])

    def keep_codec(self, key: str, data: bytes) -> None:
        """Keep a codec of tokens, unless it is there."""
        self._tokens.keep_codec(key, data)

    def recode(self, tokens: Mapping[int, CodedTokens]) -> None:
        """Put tokens in the place of those of rows that are still there."""
        self._copy("lists", _COLUMNS["lists"], self._tokens.recode(tokens))

    def _passages_of(self, number: int, stored: StoredDocument) -> list[bytes]:
        pairs = zip(self._vectors(stored), self._tokens.fields(stored), strict=True)
        return [row([int8(number), int4(at), one, *more]) for at, (one, more) in enumerate(pairs)]

    def _vectors(self, stored: StoredDocument) -> list[bytes | None]:
        values, dim = stored.vectors, self._entry.dim
        if dim is None:
            return [None] * len(stored.spans)
        if values is None or values.shape != (len(stored.spans), dim):
            shape, wanted = None if values is None else list(values.shape), [len(stored.spans), dim]
            raise BadInput(f"The document {stored.document.id!r} has vectors of shape {shape}; {wanted} is needed.")
        return [vector(one, self._entry.type) for one in values]

    def _copy(self, name: str, columns: str, rows: list[bytes]) -> None:
        query = self._tables.of(f"COPY {{{name}}} ({columns}) FROM STDIN (FORMAT BINARY)")
        with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            copy.write(START)
            block = b"".join(rows)
            for start in range(0, len(block), _BLOCK):
                copy.write(block[start : start + _BLOCK])
            copy.write(END)

    def finish(self) -> int:
        """Note the counts under a new generation; gives it."""
        self._tokens.finish()
        generation = self._entry.facts.generation + 1
        self._connection.execute(
            """UPDATE retr.collections SET generation = %s, documents = %s, passages = %s, length = %s, next_number = %s
            WHERE name = %s""",
            [generation, self._documents, self._passages, self._length, self._next, self._name],
        )
        return generation

    def _run(self, query: str, bound: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(self._tables.of(query), bound).fetchall()


def _document(number: int, stored: StoredDocument) -> bytes:
    document = stored.document
    if len(stored.spans) > MAX_PASSAGES:
        raise BadInput(f"The document {document.id!r} has {len(stored.spans)} passages; at most {MAX_PASSAGES} fit.")
    spans = [at for span in stored.spans for at in span]
    texts = [document.id.encode(), document.title.encode(), document.text.encode()]
    facts = [jsonb(dict(document.metadata)), jsonb(dict(document.source))]
    return row([int8(number), *texts, *facts, ints(spans), stored.text_hash, stored.record_hash])


def check_storable(document: Document) -> None:
    """BadInput for a NUL in a text, which PostgreSQL cannot hold."""
    texts = [document.id, document.title, document.text]
    try:
        facts = [jsonb(dict(document.metadata)), jsonb(dict(document.source))]
    except (TypeError, ValueError):
        return  # What is not JSON is refused with its reason by whoever takes the document in.
    if any("\x00" in one for one in texts if isinstance(one, str)) or any(map(_NUL.search, facts)):
        raise BadInput(
            f"The document {document.id!r} holds a NUL character, which PostgreSQL cannot. Clean it, or leave it out."
        )


def made_index(tables: Tables, kind: str, type: str, passages: int) -> sql.Composed:
    """What makes an index of a kind over the vectors there are."""
    using = "hnsw" if kind == "hnsw" else "ivfflat"
    lists = max(1, min(passages // 1_000, 32_768) if passages <= 1_000_000 else round(passages**0.5))
    options = sql.SQL("" if using == "hnsw" else f" WITH (lists = {lists})")
    operators = sql.SQL(f"{type}_ip_ops")
    query = f"CREATE INDEX ON {{passages}} USING {using} (vector {{operators}}){{options}}"
    return tables.of(query, operators=operators, options=options)
