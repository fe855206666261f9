"""Threads that do the work of many callers in batches, and the promises that go with it.

A request is one or more pieces, and its future gives their results in order. Full: a request that finds more weight
waiting than allowed is refused at once, never queued. Cancelled: what of a cancelled future's work has not begun is
left out. Alone: when a batch of several requests fails, each is run again by itself, so that none fails for another's
sake. Closed: what was accepted is finished.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from retr.encoders.batching.line import Line, Piece
from retr.encoders.batching.settings import BatchSettings
from retr.retrieval.errors import RetrError

LONGEST_RETRY_SECONDS = 60
_SMOOTHING = 0.2


class Full(RetrError):
    """More work waits than is allowed; `retry_seconds` is when there may be room."""

    def __init__(self, message: str, retry_seconds: int) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class Closed(RetrError):
    """The batcher takes no more work."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is told of a batch that was run: how much was in it, how long its oldest waited, how long it took."""

    weight: int
    pieces: int
    requests: int
    waited_seconds: float
    ran_seconds: float


@dataclass(slots=True, eq=False)
class _Request:
    """One caller's pieces: filled in as batches end."""

    future: "Future[list[Any]]"
    results: list[Any]
    missing: int


@dataclass(slots=True)
class _Speed:
    """Weight done in a second, smoothed; 0 before the first batch."""

    value: float = 0.0
    last_requests: int = field(default=0)

    def saw(self, batch: Batch) -> None:
        now = batch.weight / max(batch.ran_seconds, 1e-6)
        self.value = now if not self.value else (1 - _SMOOTHING) * self.value + _SMOOTHING * now
        self.last_requests = batch.requests


Run = Callable[[Any, list[Any]], Sequence[Any]]
"""(key, works of one or more requests) to one result a work, in order; called in a thread of the batcher."""


class Batcher:
    """`run` is called with works of one key at a time. `seen` is told of every batch, in the thread that ran it."""

    def __init__(
        self,
        run: Run,
        settings: BatchSettings | None = None,
        *,
        name: str = "batcher",
        seen: Callable[[Batch], None] | None = None,
    ) -> None:
        self.name = name
        self._run, self._seen = run, seen
        self._settings = settings or BatchSettings()
        self._line = Line()
        self._changed, self._settling = threading.Condition(), threading.Lock()
        self._closing = False
        self._speed = _Speed()
        self._threads = [
            threading.Thread(target=self._work, name=f"retr-{name}-{number}", daemon=True)
            for number in range(self._settings.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """The weight that waits."""
        return self._line.weight

    def submit(
        self,
        works: Sequence[Any],
        weights: Sequence[int],
        *,
        key: Hashable = None,
        urgent: bool = False,
        bounded: bool = True,
    ) -> "Future[list[Any]]":
        """The results of the works, in order, once they are done. Full or Closed when they cannot be taken.

        A request that is heavier than all that may wait is taken when nothing else waits; one that is not `bounded`,
        however much waits.
        """
        future: Future[list[Any]] = Future()
        if not works:
            future.set_result([])
            return future
        request = _Request(future, [None] * len(works), len(works))
        now = time.monotonic()
        pieces = [
            Piece(work, weight, request, place, key, now)
            for place, (work, weight) in enumerate(zip(works, weights, strict=True))
        ]
        with self._changed:
            self._check_room(sum(weights) if bounded else 0)
            self._line.put(pieces, urgent=urgent)
            self._changed.notify()
        return future

    def close(self, seconds: float | None = None) -> bool:
        """Take no more work, finish what was taken, end the threads; False when that takes longer than `seconds`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        end = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _check_room(self, weight: int) -> None:
        if self._closing:
            raise Closed(f"The {self.name} is shutting down and takes no more work. Ask another server.")
        most, waiting = self._settings.waiting, self._line.weight
        if weight and waiting and waiting + weight > most:
            seconds = self._retry_seconds()
            raise Full(
                f"The {self.name} queue is full: {waiting} of {most} wait, and this request has {weight}. "
                f"Try again in {seconds} s.",
                seconds,
            )

    def _retry_seconds(self) -> int:
        seconds = self._line.weight / self._speed.value if self._speed.value else 1.0
        return max(1, min(LONGEST_RETRY_SECONDS, round(seconds)))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._line.pieces and not self._closing:
                    self._changed.wait()
                self._gather()
                taken = self._line.take(self._settings.batch)
                if not taken and self._closing and not self._line.pieces:
                    return
                if self._line.pieces:
                    self._changed.notify()
            wanted = [piece for piece in taken if not piece.owner.future.done()]
            if wanted:
                self._do(wanted)

    def _gather(self) -> None:
        """Wait a little for company, but only where the batch before had some: one caller alone never waits."""
        oldest = self._line.oldest()
        if oldest is None or self._speed.last_requests < 2:
            return
        end = oldest.arrived + self._settings.wait_seconds
        while self._line.weight < self._settings.batch and not self._closing:
            left = end - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _do(self, pieces: list[Piece]) -> None:
        started = time.monotonic()
        owners = list({id(piece.owner): piece.owner for piece in pieces}.values())
        try:
            self._finish(pieces, self._results(pieces))
        except BaseException as error:  # whatever it is, the callers must hear of it, and the thread must live on
            if len(owners) == 1:
                _fail(owners[0], error)
            else:
                self._do_apart(pieces, owners)
        weight = sum(piece.weight for piece in pieces)
        waited = started - min(piece.arrived for piece in pieces)
        batch = Batch(weight, len(pieces), len(owners), waited, time.monotonic() - started)
        self._speed.saw(batch)
        if self._seen is not None:
            self._seen(batch)

    def _do_apart(self, pieces: list[Piece], owners: list[_Request]) -> None:
        for owner in owners:
            own = [piece for piece in pieces if piece.owner is owner]
            try:
                self._finish(own, self._results(own))
            except BaseException as error:
                _fail(owner, error)

    def _finish(self, pieces: list[Piece], results: Sequence[Any]) -> None:
        complete: list[_Request] = []
        with self._settling:
            for piece, result in zip(pieces, results, strict=True):
                request = piece.owner
                request.results[piece.place] = result
                request.missing -= 1
                if not request.missing:
                    complete.append(request)
        for request in complete:
            with suppress(InvalidStateError):  # cancelled meanwhile
                request.future.set_result(request.results)

    def _results(self, pieces: list[Piece]) -> Sequence[Any]:
        results = self._run(pieces[0].key, [piece.work for piece in pieces])
        if len(results) != len(pieces):
            raise RuntimeError(f"{self.name} gave {len(results)} results for {len(pieces)} works")
        return results


def _fail(request: _Request, error: BaseException) -> None:
    with suppress(InvalidStateError):  # cancelled, or failed in an earlier batch
        request.future.set_exception(error)
