"""Shards encoded by a pool's workers, into the same folder with the same bytes as here."""

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

from retr.encoders.bulk.folder import UNFINISHED
from retr.encoders.bulk.working import Form, Step, Task
from retr.encoders.bulk.writing import give_name, unfinished_path
from retr.encoders.jobs.pool import Call, Pool
from retr.encoders.jobs.settings import JobSettings
from retr.encoders.jobs.worker import Hello, Sight, Written


class JobWorkers:
    """`bulk.working.Workers` over a pool. A worker that sees the folder writes there; another sends its file along.

    Only this process, which holds the folder's lock, gives a file its name: one that a machine taken for dead writes
    late is never part of the result.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.encoder: Hello = pool.hello()

    @property
    def size(self) -> int:
        """Workers that there are when all live."""
        return self._pool.size

    @property
    def lost(self) -> int:
        """Workers that died; what they had was done by others."""
        return self._pool.lost

    def steps(self, tasks: Iterable[Task], folder: Path, form: Form) -> Generator[Step, None, None]:
        """As `Workers.steps`; a step a shard."""
        with _marked(folder) as sight:
            calls = (_call(task, sight, form) for task in tasks)
            with closing(self._pool.run(calls, lambda call, answer: _named(folder, answer))) as answers:
                for call, written in answers:
                    task: Task = call.tag
                    if task.known is not None:
                        yield Step(task, facts=task.known)
                    else:
                        yield Step(task, len(task.shard), written.tokens, written.cut, written.facts)


@contextmanager
def ray_workers(spec: str, settings: JobSettings | None = None) -> Iterator[JobWorkers]:
    """Workers by Ray that use the encoder `spec`, until the block ends.

    NotFound without the package or the cluster; Mismatch where no worker can be had.
    """
    with ray_pool(spec, settings) as pool:
        yield JobWorkers(pool)


@contextmanager
def ray_pool(spec: str, settings: JobSettings | None = None) -> Iterator[Pool]:
    """A pool of workers by Ray, until the block ends."""
    from retr.encoders.jobs.crew import RayCrew

    settings = settings or JobSettings()
    crew = RayCrew(spec, settings)
    pool = Pool(crew, settings)
    try:
        yield pool
    finally:
        pool.close()
        crew.close()


@contextmanager
def _marked(folder: Path) -> Iterator[Sight]:
    """A mark in the folder for as long as the block lasts; a dead run's are removed with what is unfinished."""
    sight = Sight(str(folder.absolute()), f"mark-{uuid4().hex}{UNFINISHED}")
    mark = folder / sight.mark
    mark.touch()
    try:
        yield sight
    finally:
        mark.unlink(missing_ok=True)


def _call(task: Task, sight: Sight, form: Form) -> Call:
    return Call(task) if task.known is not None else Call(task, "write", (task.shard, sight, form))


def _named(folder: Path, written: Written) -> Written:
    """Give a shard's file its name, having written it where the worker could not."""
    key = written.facts.key
    if written.content is not None:
        with unfinished_path(folder, key, written.attempt).open("wb") as file:
            file.write(written.content)
            file.flush()
            os.fsync(file.fileno())
    give_name(folder, key, written.attempt)
    return Written(written.facts, written.attempt, written.tokens, written.cut)
