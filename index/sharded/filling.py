"""Bulk loading of all shards at once: one stream of documents dealt out to as many transactions."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event

from retr.index.sharded.servers import shard_of
from retr.retrieval.store import StoredDocument, VectorStore

_WAITING = 4_000
"""Documents that wait for a shard; reading goes on when there is room again."""
_LOOK = 0.1
Waiting = Queue[StoredDocument | None]


class _Stopped(Exception):
    """Another shard could not be filled."""


def fill(shards: Sequence[VectorStore], documents: Iterable[StoredDocument]) -> list[int]:
    """Load each shard with its documents, in the order given; gives the shards' generations.

    Where a shard fails, or the stream does, the transactions that are still open leave nothing behind.
    """
    queues: list[Waiting] = [Queue(_WAITING) for _ in shards]
    stop = Event()
    with ThreadPoolExecutor(len(shards), "filling") as threads:
        running = [
            threads.submit(one.bulk_load, _taken(queue, stop)) for one, queue in zip(shards, queues, strict=True)
        ]
        try:
            _deal(documents, queues, running)
        except BaseException:
            stop.set()
            raise
        finally:
            if any(one.done() and one.exception() for one in running):
                stop.set()
        return _results(running, stop)


def _deal(documents: Iterable[StoredDocument], queues: Sequence[Waiting], running: Sequence[Future[int]]) -> None:
    for stored in documents:
        at = shard_of(stored.document.id, len(queues))
        if not _put(queues[at], stored, running):
            return
    for queue in queues:
        _put(queue, None, running)


def _put(queue: Waiting, stored: StoredDocument | None, running: Sequence[Future[int]]) -> bool:
    """Whether there was room before a shard failed."""
    while not any(one.done() and one.exception() for one in running):
        try:
            queue.put(stored, timeout=_LOOK)
            return True
        except Full:
            continue
    return False


def _taken(queue: Waiting, stop: Event) -> Iterator[StoredDocument]:
    while True:
        try:
            stored = queue.get(timeout=_LOOK)
        except Empty:
            if stop.is_set():
                raise _Stopped from None
            continue
        if stored is None:
            return
        yield stored


def _results(running: Sequence[Future[int]], stop: Event) -> list[int]:
    """The generations, or the error that stopped the others."""
    for one in running:
        if one.exception():
            stop.set()
    failed = [error for one in running if (error := one.exception()) is not None]
    for error in sorted(failed, key=lambda error: isinstance(error, _Stopped)):
        raise error
    return [one.result() for one in running]
