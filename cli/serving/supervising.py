"""Several workers on one socket: started, told to end, and started again when one dies."""

import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from tempfile import TemporaryDirectory
from typing import Any

from retr.cli.serving.keys import Keys
from retr.cli.serving.metrics import MULTIPROCESS
from retr.cli.serving.settings import ServeSettings
from retr.encoders.running.session import threads
from retr.retrieval.errors import BadInput

log = logging.getLogger("retr.serve")

PAUSE_SECONDS = 1.0
"""Between the death of a worker and its successor, so that one which cannot live does not use up the machine."""

SPARE_SECONDS = 5.0
_TICK = 0.2


def run_worker(settings: ServeSettings, keys: Keys, listening: socket.socket, ready: Any) -> None:
    """What a worker process does: open everything, then answer."""
    from retr.cli.serving.logs import log_to_stderr
    from retr.cli.serving.memory import share_heaps
    from retr.cli.serving.running import serve
    from retr.cli.serving.service import Service

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal's processes; the parent tells us
    share_heaps()
    log_to_stderr()
    serve(Service(settings), keys, listening, started=ready.release)


class Supervisor:
    """The parent of `settings.workers` processes. It opens no index and answers nothing."""

    def __init__(self, settings: ServeSettings, keys: Keys, listening: socket.socket) -> None:
        self._settings, self._keys, self._listening = settings, keys, listening
        self._spawn = multiprocessing.get_context("spawn")
        self._ready = self._spawn.Semaphore(0)
        self._workers: list[Any] = []
        self._ending = False

    def run(self, *, started: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT. BadInput when a worker ends before it has begun."""
        os.environ.setdefault("RETR_THREADS", str(max(1, threads() // self._settings.workers)))
        handlers = {number: signal.signal(number, self._end) for number in (signal.SIGTERM, signal.SIGINT)}
        with TemporaryDirectory(prefix="retr-serve-") as counts:
            os.environ[MULTIPROCESS] = counts
            try:
                self._workers = [self._started() for _ in range(self._settings.workers)]
                self._await_ready()
                if not self._ending:
                    started()
                self._watch()
            finally:
                self._finish()
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def _started(self) -> Any:
        worker = self._spawn.Process(
            target=run_worker, args=(self._settings, self._keys, self._listening, self._ready), name="retr-serve"
        )
        worker.start()
        return worker

    def _await_ready(self) -> None:
        missing = self._settings.workers
        while missing and not self._ending:
            if self._ready.acquire(timeout=_TICK):
                missing -= 1
            elif any(worker.exitcode is not None for worker in self._workers):
                raise BadInput("A worker ended before it had begun; what it said stands above. Try --workers 1.")

    def _watch(self) -> None:
        while not self._ending:
            wait([worker.sentinel for worker in self._workers], timeout=_TICK)
            for place, worker in enumerate(self._workers):
                if worker.exitcode is None or self._ending:
                    continue
                log.warning("worker %d ended with %s; another is started", worker.pid, worker.exitcode)
                _forget(worker.pid)
                time.sleep(PAUSE_SECONDS)
                self._workers[place] = self._started()

    def _end(self, number: int, frame: object) -> None:
        self._ending = True

    def _finish(self) -> None:
        """Tell all workers to drain; end those that take too long."""
        self._listening.close()
        for worker in self._workers:
            if worker.exitcode is None:
                os.kill(worker.pid, signal.SIGTERM)
        settings = self._settings
        end = time.monotonic() + settings.drain_wait_seconds + 2 * settings.drain_seconds + SPARE_SECONDS
        for worker in self._workers:
            worker.join(max(0.0, end - time.monotonic()))
            if worker.exitcode is None:
                log.warning("worker %d did not end in time and is killed", worker.pid)
                worker.kill()
                worker.join()


def _forget(pid: int) -> None:
    """Take a dead worker's present counts out of the sums; what it has counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
