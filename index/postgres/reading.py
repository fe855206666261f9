"""One generation read: documents, counts and filters; everything of it within one transaction."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from retr.index.dense.settings import DenseSettings
from retr.index.postgres.binary import read_vectors
from retr.index.postgres.connecting import Connection
from retr.index.postgres.filters import to_postgres
from retr.index.postgres.schema import TYPES, Tables
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged
from retr.retrieval.filters import Filter
from retr.retrieval.records import Document
from retr.retrieval.store import MAX_PASSAGES, CodecUse, CodedTokens, StoredDocument, StoreFacts, row_of

_AT_ONCE = 2_000
_OF_ROWS = """FROM unnest(%s::bigint[], %s::int[]) WITH ORDINALITY AS r(document, ordinal, at)
    JOIN {passages} p USING (document, ordinal)"""
_INDEX = """(SELECT a.amname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
    WHERE i.indrelid = to_regclass(quote_ident(home) || '.passages') AND i.indisvalid
    AND a.amname IN ('hnsw', 'ivfflat') LIMIT 1)"""
_FACTS = f"""SELECT home, before, next_number, generation, documents, passages, length, created, encoder, settings,
    COALESCE({_INDEX}, ''), late FROM retr.collections WHERE name = %s"""


@dataclass(frozen=True, slots=True)
class Entry:
    """The row of the catalogue of one collection."""

    home: str
    before: str | None
    next_number: int
    facts: StoreFacts

    @property
    def dense(self) -> DenseSettings:
        """How vectors are kept and searched."""
        return DenseSettings(**self.facts.settings.get("dense", {}))

    @property
    def type(self) -> str:
        """What pgvector calls the vectors."""
        return TYPES[self.dense.storage]

    @property
    def dim(self) -> int | None:
        """Numbers in a vector; None without vectors."""
        return None if self.facts.encoder is None else self.dense.dim or int(self.facts.encoder["dim"])


def entry_of(connection: Connection, name: str, *, lock: bool = False) -> Entry | None:
    """What the catalogue says of a collection, if anything; with `lock`, no other writer goes on until we are done."""
    found = connection.execute(_FACTS + (" FOR UPDATE" if lock else ""), [name]).fetchone()
    if found is None:
        return None
    home, before, following, *facts = found
    return Entry(home, before, following, StoreFacts(*facts))


def has_index(connection: Connection, home: str) -> bool:
    """Whether there is an index over the vectors, looked for now: whoever waited for a lock has old facts."""
    found = connection.execute(f"SELECT {_INDEX} FROM (SELECT %s::text AS home) h", [home]).fetchone()
    return found is not None and found[0] is not None


class Reader:
    """What a transaction sees of the documents of a collection."""

    ordered = True

    def __init__(self, connection: Connection, entry: Entry) -> None:
        self._connection, self._entry, self._tables = connection, entry, Tables(entry.home)

    @property
    def facts(self) -> StoreFacts:
        """What it holds."""
        return self._entry.facts

    def _all(self, query: str, bound: Any = (), **parts: sql.Composable) -> list[tuple[Any, ...]]:
        return self._connection.execute(self._tables.of(query, **parts), bound).fetchall()

    def _bytes(self, query: str, bound: Any, **parts: sql.Composable) -> list[tuple[Any, ...]]:
        """As `_all`, for bytes, which would come as hex digits."""
        return self._connection.execute(self._tables.of(query, **parts), bound, binary=True).fetchall()

    def numbers_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of the documents that have one of these ids."""
        wanted = [id for id in dict.fromkeys(ids) if storable(id)]
        return dict(self._all("SELECT id, number FROM {documents} WHERE id = ANY(%s)", [wanted])) if wanted else {}

    def ids_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """The ids of documents, by number."""
        return dict(self._all("SELECT number, id FROM {documents} WHERE number = ANY(%s)", [_list(numbers)]))

    def ids(self, where: Filter | None = None) -> Iterator[tuple[int, str]]:
        """(number, id) of the documents for which the filter holds, by number."""
        condition, bound = self.condition(where)
        query = "SELECT d.number, d.id FROM {documents} d WHERE {where} ORDER BY d.number"
        yield from self._all(query, bound, where=condition)

    def count(self, where: Filter | None = None) -> int:
        """For how many documents the filter holds."""
        if where is None:
            return self.facts.documents
        condition, bound = self.condition(where)
        return int(self._all("SELECT count(*) FROM {documents} d WHERE {where}", bound, where=condition)[0][0])

    def condition(self, where: Filter | None) -> tuple[sql.Composable, list[object]]:
        """The filter on documents `d`, and what it binds."""
        condition, bound = ("TRUE", list[object]()) if where is None else to_postgres(where)
        return sql.SQL(condition), bound

    def get(self, numbers: Iterable[int]) -> dict[int, StoredDocument]:
        """Documents by number, without their vectors."""
        query = """SELECT number, id, title, text, metadata, source, spans, text_hash, record_hash
            FROM {documents} WHERE number = ANY(%s)"""
        found = {}
        for number, id, title, text, metadata, source, spans, *hashes in self._all(query, [_list(numbers)]):
            document = Document(id, text, title, metadata, source)
            found[number] = StoredDocument(document, list(zip(spans[::2], spans[1::2], strict=True)), *hashes)
        return found

    def hashes(self, numbers: Iterable[int]) -> dict[int, tuple[bytes, bytes]]:
        """(text hash, record hash) of documents, by number."""
        query = "SELECT number, text_hash, record_hash FROM {documents} WHERE number = ANY(%s)"
        return {number: (text, record) for number, text, record in self._all(query, [_list(numbers)])}

    def vectors(self, rows: NDArray[np.int64]) -> Floats:
        """The vectors of rows, float32 [rows, dim], in the order given."""
        query, send = f"SELECT {{send}}(p.vector) {_OF_ROWS} ORDER BY r.at", sql.SQL(f"{self._entry.type}_send")
        found: list[bytes] = []
        for bound in _pieces(rows):
            found += [one for (one,) in self._bytes(query, bound, send=send)]
        return read_vectors(found, self._entry.type, self._entry.dim or 0)

    def codecs(self) -> dict[str, CodecUse]:
        """The codecs of tokens by key, in the order they came."""
        found = self._all("SELECT key, passages, bytes FROM {codecs} ORDER BY number")
        return {key: CodecUse(passages, size) for key, passages, size in found}

    def codec(self, key: str) -> bytes:
        """What was kept as this codec. Damaged where there is none of the key."""
        found = self._bytes("SELECT data FROM {codecs} WHERE key = %s", [key])
        if not found:
            raise Damaged(f"The codec {key[:12]} of a collection's tokens is missing. Run: retr check")
        return bytes(found[0][0])

    def tokens(self, rows: NDArray[np.int64]) -> list[CodedTokens]:
        """The tokens of rows, in the order given, without their lists."""
        query = f"SELECT c.key, p.tokens {_OF_ROWS} JOIN {{codecs}} c ON c.number = p.codec ORDER BY r.at"
        found: list[CodedTokens] = []
        for bound in _pieces(rows):
            found += [CodedTokens(key, data) for key, data in self._bytes(query, bound)]
        if len(found) != len(rows):
            raise Damaged(f"{len(rows) - len(found)} of {len(rows)} passages have no tokens. Run: retr check")
        return found

    def rows(self, most: int, where: Filter | None = None, codec: str | None = None) -> NDArray[np.int64]:
        """The first rows of documents for which the filter holds, rising, int64; with `codec`, those coded so."""
        condition, bound = self.condition(where)
        joined = sql.SQL("") if where is None else self._tables.of("JOIN {documents} d ON d.number = p.document")
        query = """SELECT p.document, p.ordinal FROM {passages} p {joined} WHERE {where} AND {coded}
            ORDER BY p.document, p.ordinal LIMIT %s"""
        coded: sql.Composable = sql.SQL("TRUE")
        if codec is not None:
            coded, bound = self._tables.of("p.codec = (SELECT number FROM {codecs} WHERE key = %s)"), [*bound, codec]
        found = self._bytes(query, [*bound, most], joined=joined, where=condition, coded=coded)
        return np.array([row_of(number, ordinal) for number, ordinal in found], np.int64)


def storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text: it has no NUL, and no half of a pair of surrogates."""
    return isinstance(text, str) and "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _pieces(rows: NDArray[np.int64]) -> Iterator[list[list[int]]]:
    """Documents and ordinals of some rows at a time."""
    for start in range(0, len(rows), _AT_ONCE):
        numbers, ordinals = np.divmod(rows[start : start + _AT_ONCE], MAX_PASSAGES)
        yield [numbers.tolist(), ordinals.tolist()]


def _list(numbers: Iterable[int]) -> list[int]:
    return [int(number) for number in numbers]
