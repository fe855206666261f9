"""A collection in PostgreSQL as a `VectorStore`: every write one transaction, every read one generation."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import psycopg

from retr.index.dense.settings import DenseSettings
from retr.index.postgres.address import Address, check_name
from retr.index.postgres.binary import json_text
from retr.index.postgres.checking import checked
from retr.index.postgres.connecting import Connection, Connections
from retr.index.postgres.publishing import published
from retr.index.postgres.reading import Entry, entry_of, has_index
from retr.index.postgres.schema import CATALOGUE, CATALOGUE_LOCK, Tables, vector_type
from retr.index.postgres.searching import Searches
from retr.index.postgres.writing import Changes, check_storable, made_index
from retr.index.stores.direct import Direct
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.records import Document
from retr.retrieval.store import CodedTokens, StoredDocument, StoreFacts

_INDEXED_FROM = {"auto": 20_000, "hnsw": 0, "ivf-flat": 1_000}
"""Passages from which on vectors get an index; below, every one is compared, which is exact."""
_BULK, _MANY = 2_000, 500
_PATIENCE, _PAUSE = 10.0, 0.02
"""Seconds that a reader waits for a replica to have a generation, and between two looks."""


class PostgresStore(Direct):
    """One named collection of a server."""

    def __init__(self, address: str) -> None:
        self._address = Address.parse(address)
        self._name = check_name(self._address.collection)
        self._connections = Connections(self._address)

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        return self._address.shown

    def exists(self) -> bool:
        """Whether there is a collection of this name."""
        with self._connections.reading() as connection:
            return _has_catalogue(connection) and entry_of(connection, self._name) is not None

    def create(self, facts: StoreFacts) -> None:
        """Make the collection, empty. BadInput where there is one of this name, or the server is too old."""
        dense = DenseSettings(**facts.settings.get("dense", {}))
        type = None if facts.encoder is None else vector_type(dense, dense.dim or int(facts.encoder["dim"]))
        with self._connections.writing() as connection:
            self._check_server(connection)
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [CATALOGUE_LOCK])
            if not _has_catalogue(connection):
                for statement in CATALOGUE:
                    connection.execute(statement)
            if entry_of(connection, self._name) is not None:
                raise BadInput(f"There is a collection at {self.address} already. Open it, or give another name.")
            number = _one(connection, "SELECT nextval('retr.homes')")
            home = f"retr_{number}"
            for made in Tables(home).made(type):
                connection.execute(made)
            encoders = [None if one is None else json_text(dict(one)) for one in (facts.encoder, facts.late)]
            connection.execute(
                """INSERT INTO retr.collections (name, home, generation, documents, passages, length, next_number,
                created, encoder, late, settings)
                VALUES (%s, %s, %s, 0, 0, 0, 0, %s, %s::jsonb, %s::jsonb, %s::jsonb)""",
                [self._name, home, facts.generation, facts.created, *encoders, json_text(dict(facts.settings))],
            )

    def _check_server(self, connection: Connection) -> None:
        if connection.info.server_version < 170_000:
            raise BadInput(f"{self.address} runs PostgreSQL {connection.info.server_version // 10_000}; 17 is needed.")
        found = _one(connection, "SELECT max(default_version) FROM pg_available_extensions WHERE name = 'vector'")
        if found is None or tuple(map(int, str(found).split(".")[:2])) < (0, 8):
            raise NotFound(f"{self.address} has pgvector {found or 'not at all'}; 0.8 or newer is needed. Install it.")

    @contextmanager
    def snapshot(self, at_least: int = 0) -> Iterator[Searches]:
        """The newest generation, the same for all that is read of it; waits until it is `at_least` this one.

        Mismatch where that takes longer than ten seconds: a replica that lags so, or another database.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            with self._connections.reading() as connection:
                entry = self._entry(connection)
                if entry.facts.generation >= at_least:
                    yield Searches(connection, entry)
                    return
            if time.monotonic() > until:
                raise Mismatch(
                    f"{self.address} is at generation {entry.facts.generation}, though {at_least} was written. "
                    "If it is a replica, look why it lags; or ask the primary."
                )
            time.sleep(_PAUSE)

    def _entry(self, connection: Connection, *, lock: bool = False) -> Entry:
        try:
            entry = entry_of(connection, self._name, lock=lock)
        except psycopg.errors.UndefinedTable:  # Nobody has made a collection here yet.
            entry = None
        if entry is None:
            raise NotFound(f"There is no collection at {self.address}. Make it with: retr index SOURCE --store ADDRESS")
        return entry

    def check_document(self, document: Document) -> None:
        """BadInput for a document that PostgreSQL cannot hold."""
        check_storable(document)

    def keep_codec(self, key: str, data: bytes) -> None:
        """Keep a codec, before the first tokens that are coded by it. One that is there already is left alone."""
        with self._connections.writing() as connection:
            Changes(connection, self._entry(connection, lock=True), self._name).keep_codec(key, data)

    def recode(self, tokens: Mapping[int, CodedTokens]) -> int:
        """Put other tokens in the place of those of rows; rows that are gone are left out. Gives the generation."""
        with self._connections.writing() as connection:
            changes = Changes(connection, self._entry(connection, lock=True), self._name)
            changes.recode(tokens)
            return changes.finish()

    def upsert(self, documents: Sequence[StoredDocument], removed: Iterable[int] = ()) -> int:
        """Write documents in the place of those that have their ids, and remove some by number, all or nothing."""
        with self._connections.writing() as connection:
            changes = Changes(connection, self._entry(connection, lock=True), self._name)
            changes.remove(removed, [stored.document.id for stored in documents])
            changes.add(documents)
            generation = changes.finish()
        self._settle(len(documents))
        return generation

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; says how many there were."""
        with self._connections.writing() as connection:
            changes = Changes(connection, self._entry(connection, lock=True), self._name)
            gone = changes.remove([], list(ids))
            changes.finish()
        return gone

    def bulk_load(self, documents: Iterable[StoredDocument]) -> int:
        """Fill a collection that is empty, in one transaction, the index over the vectors made at its end."""
        waiting = iter(documents)
        with self._connections.writing() as connection:
            entry = self._entry(connection, lock=True)
            if entry.facts.documents:
                raise BadInput(f"{self.address} holds {entry.facts.documents} documents already; use another name.")
            changes = Changes(connection, entry, self._name)
            loaded = 0
            while part := list(islice(waiting, _BULK)):
                changes.add(part)
                loaded += len(part)
            generation = changes.finish()
        self._settle(loaded)
        return generation

    def _settle(self, written: int) -> None:
        """After many documents: count for the planner, and an index over the vectors once there are enough of them.

        Searches go on meanwhile.
        """
        with self._connections.writing() as connection:
            entry = self._entry(connection)
            for analyze in Tables(entry.home).analyzed() if written >= _MANY else ():
                connection.execute(analyze)
            start = _INDEXED_FROM.get(entry.dense.kind)
            if entry.dim is None or start is None or entry.facts.passages < max(start, 1):
                return
            entry = self._entry(connection, lock=True)
            if not has_index(connection, entry.home):
                kind = "hnsw" if entry.dense.kind == "auto" else entry.dense.kind
                connection.execute(made_index(Tables(entry.home), kind, entry.type, entry.facts.passages))

    def publish(self, name: str) -> int:
        """Give this collection another's name and place in one step, for all readers; gives the generation.

        What had the name before is kept, so that readers under way go on, until the next is published.
        """
        with self._connections.writing() as connection:
            generation = published(connection, self._entry(connection, lock=True), self._name, check_name(name))
        self._name, self._address = name, self._address.named(name)
        return generation

    def drop(self) -> None:
        """Remove the collection, and all that it holds, for good."""
        with self._connections.writing() as connection:
            entry = self._entry(connection, lock=True)
            for home in filter(None, (entry.home, entry.before)):
                connection.execute(Tables(home).dropped())
            connection.execute("DELETE FROM retr.collections WHERE name = %s", [self._name])

    def check(self) -> tuple[list[str], list[str]]:
        """What was checked and is sound, and what is not."""
        with self._connections.reading() as connection:
            return checked(connection, self._entry(connection))

    def close(self) -> None:
        """Close the connections that are open."""
        self._connections.close()


def _has_catalogue(connection: Connection) -> bool:
    return _one(connection, "SELECT to_regclass('retr.collections')") is not None


def _one(connection: Connection, query: str) -> Any:
    found = connection.execute(query).fetchone()
    return None if found is None else found[0]
