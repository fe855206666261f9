"""Connections to one server, taken for a transaction and given back; a forked process opens its own."""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from retr.index.disk.lock import Busy
from retr.index.postgres.address import Address
from retr.index.stores import Forbidden, Unreachable
from retr.retrieval.errors import BadInput, Damaged

_IDLE = 8
"""Connections that are kept open for the next call."""

_WAIT = "60s"
"""How long a writer waits for another to end its transaction."""

_AWAY = ("08", "28", "57")
"""Classes of errors of a server that cannot be reached, lets nobody in, or is being shut down."""

Connection = psycopg.Connection[tuple[Any, ...]]


class Connections:
    """Each transaction has a connection to itself, so threads do not disturb each other."""

    def __init__(self, address: Address) -> None:
        check_readable(address)
        self._address = address
        self._idle: list[Connection] = []
        self._lock, self._process = threading.Lock(), os.getpid()
        weakref.finalize(self, _close, self._idle, self._process)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the database."""
        with self._transaction("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end, or leaves nothing behind."""
        with self._transaction(f"SET LOCAL lock_timeout = '{_WAIT}'") as connection:
            yield connection

    @contextmanager
    def _transaction(self, first: str) -> Iterator[Connection]:
        with told(self._address):
            connection = self._taken(first)
            try:
                yield connection
                connection.commit()
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise
            finally:
                self._give_back(connection)

    def _taken(self, first: str) -> Connection:
        """A connection in a new transaction; one that the server has closed meanwhile is left for another."""
        while True:
            with self._lock:
                if self._process != os.getpid():
                    self._idle.clear()  # The parent's: they are not closed here, where that would end them there.
                    self._process = os.getpid()
                idle = self._idle.pop() if self._idle else None
            connection = idle or psycopg.connect(self._address.server, application_name="retr", connect_timeout=10)
            try:
                connection.execute(first)
                return connection
            except psycopg.OperationalError:
                connection.close()
                if idle is None:
                    raise

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not connection.closed and len(self._idle) < _IDLE and self._process == os.getpid():
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            _close(self._idle, self._process)


def check_readable(address: Address) -> None:
    """BadInput for an address that libpq cannot read; its own words may hold the password, and are not told."""
    try:
        psycopg.conninfo.conninfo_to_dict(address.server)
    except psycopg.ProgrammingError:
        raise BadInput(
            "PostgreSQL's client library cannot read the address of the store. Write characters that mean something in "
            "an address by their codes, such as %25 for %, and leave unknown options out."
        ) from None


def _close(idle: list[Connection], process: int) -> None:
    while idle and process == os.getpid():
        idle.pop().close()


@contextmanager
def told(address: Address) -> Iterator[None]:
    """Turn the server's errors that a user can act on into one line without secrets."""
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        raise Busy(f"Another writer has held {address.shown} for {_WAIT}. Try again when it is done.") from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise Forbidden(f"The user of {address.shown} may not do this ({_line(error)}). Ask for the right.") from None
    except psycopg.errors.DiskFull as error:
        raise Damaged(f"The server of {address.shown} has no room left ({_line(error)}). Make room there.") from None
    except psycopg.errors.ReadOnlySqlTransaction:
        raise Forbidden(f"{address.shown} is a replica, which only reads. Give the address of the primary.") from None
    except psycopg.OperationalError as error:
        if error.sqlstate is None or error.sqlstate[:2] in _AWAY:
            what = f"The PostgreSQL server of {address.shown} does not answer ({_line(error)})."
            raise Unreachable(f"{what} Check address and server.") from None
        raise Damaged(f"The server of {address.shown} could not do it: {_line(error)}. Nothing was changed.") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
