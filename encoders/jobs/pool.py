"""Calls to workers that may die: handed out as workers are free, given to others when one is gone, answers in order."""

import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

from retr.encoders.jobs.settings import JobSettings
from retr.encoders.jobs.worker import Hello
from retr.encoders.running.pipeline import ahead
from retr.retrieval.errors import Mismatch
from retr.retrieval.version import VERSION

AHEAD = 2
"""Rounds of calls, of `queued` for each worker, whose answers may wait for one before them."""

PATIENCE_SECONDS = 1.0


class Lost(Exception):
    """A worker ended before it answered; why, in a few words."""


class Crew(Protocol):
    """What starts workers and carries calls to them. Promises are what a call gives before its answer is there."""

    @property
    def size(self) -> int:
        """Workers that fit."""
        ...

    def start(self) -> Any:
        """A new worker, which may take its time."""
        ...

    def ask(self, worker: Any, method: str, arguments: Sequence[Any]) -> Hashable:
        """Call a method of `jobs.worker.Worker`; a worker answers in the order it was asked."""
        ...

    def ready(self, promises: Sequence[Any], seconds: float) -> Iterable[Any]:
        """Those whose answer is there, after waiting for one at most so long."""
        ...

    def answer(self, promise: Any) -> Any:
        """The answer, or what the worker raised; Lost when it is gone."""
        ...

    def stop(self, worker: Any) -> None:
        """End a worker, whatever it does."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """A method of a worker with its arguments; without one it passes through in its turn. `tag` is its owner's."""

    tag: Any
    method: str = ""
    arguments: tuple[Any, ...] = ()


@dataclass(slots=True, eq=False)
class _Slot:
    call: Call
    done: bool = False
    answer: Any = None
    tries: int = 0


@dataclass(slots=True, eq=False)
class _Hand:
    """A worker: its greeting until that is there, then what it has been asked, oldest first."""

    worker: Any
    greeting: Any
    asked: dict[Any, _Slot] = field(default_factory=dict)


Settle = Callable[[Call, Any], Any]


class Pool:
    """As many workers as a crew has. Used by one thread; `lost` counts those that died."""

    def __init__(self, crew: Crew, settings: JobSettings) -> None:
        self._crew, self._settings = crew, settings
        self._hands: list[_Hand] = []
        self._todo: deque[_Slot] = deque()
        self._hello: Hello | None = None
        self._failed_starts = 0
        self._seen = 0.0
        self.lost = 0

    @property
    def size(self) -> int:
        """Workers that there are when all live."""
        return self._crew.size

    def hello(self) -> Hello:
        """Start all workers, and wait for the first that can work. Mismatch when none can be had."""
        if not self._hands:
            for _ in range(self.size):
                self._start()
            self._seen = time.monotonic()
        while self._hello is None:
            self._wait(_kept)
        return self._hello

    def run(self, calls: Iterable[Call], settle: Settle | None = None) -> Generator[tuple[Call, Any], None, None]:
        """Every call with its answer, in order. `settle` makes of an answer what is given, as soon as it is there.

        At most a few calls for each worker are under way or wait for those before them.
        """
        settle = settle or _kept
        self.hello()
        order: deque[_Slot] = deque()
        most = AHEAD * self._settings.queued * self.size
        with closing(ahead(calls)) as given:
            more: Iterator[Call] | None = given
            try:
                while more is not None or order:
                    if more is not None and len(order) < most:
                        more = self._taken(more, order)
                    self._assign()
                    full = order and not order[0].done and (more is None or len(order) >= most)
                    self._wait(settle, PATIENCE_SECONDS if full else 0)
                    while order and order[0].done:
                        slot = order.popleft()
                        yield slot.call, slot.answer
            finally:
                self._todo.clear()

    def _taken(self, given: Iterator[Call], order: deque[_Slot]) -> Iterator[Call] | None:
        """Take the next call in; None when there is none."""
        call = next(given, None)
        if call is None:
            return None
        slot = _Slot(call, done=not call.method)
        order.append(slot)
        if not slot.done:
            self._todo.append(slot)
        return given

    def close(self) -> None:
        """End all workers."""
        for hand in self._hands:
            self._crew.stop(hand.worker)
        self._hands = []
        self._todo.clear()

    def _start(self) -> None:
        worker = self._crew.start()
        self._hands.append(_Hand(worker, self._crew.ask(worker, "hello", ())))

    def _assign(self) -> None:
        """Calls that wait, to the workers that have least to do."""
        while self._todo:
            free = [one for one in self._hands if one.greeting is None and len(one.asked) < self._settings.queued]
            if not free:
                return
            hand, slot = min(free, key=lambda one: len(one.asked)), self._todo.popleft()
            hand.asked[self._crew.ask(hand.worker, slot.call.method, slot.call.arguments)] = slot

    def _wait(self, settle: Settle, seconds: float = PATIENCE_SECONDS) -> None:
        owners = {promise: hand for hand in self._hands for promise in _promises(hand)}
        for promise in self._crew.ready(list(owners), seconds):
            hand = owners[promise]
            if hand not in self._hands:
                continue
            try:
                answer = self._crew.answer(promise)
            except Lost as why:
                self._replace(hand, str(why))
                continue
            if promise == hand.greeting:
                self._greet(hand, answer)
            else:
                slot = hand.asked.pop(promise)
                slot.answer, slot.done = settle(slot.call, answer), True
        self._check_there()

    def _check_there(self) -> None:
        """Mismatch when there has been no worker that could work for too long."""
        now = time.monotonic()
        if any(hand.greeting is None for hand in self._hands):
            self._seen = now
        elif now - self._seen > self._settings.start_seconds:
            raise Mismatch(
                f"No worker was there within {self._settings.start_seconds:g} seconds. Look at what the cluster does "
                "(`ray status`), or ask for fewer cores a worker. What is finished stays finished."
            )

    def _greet(self, hand: _Hand, hello: Hello) -> None:
        expected = self._hello or hello
        if hello.version != VERSION:
            raise Mismatch(f"A worker has retr {hello.version}, this is {VERSION}. Install the same on every machine.")
        if hello != expected:
            raise Mismatch(
                f"Workers have different encoders: fingerprint {hello.fingerprint[:12]} and "
                f"{expected.fingerprint[:12]}. Put the same files on every machine."
            )
        self._hello, hand.greeting, self._failed_starts = expected, None, 0

    def _replace(self, hand: _Hand, why: str) -> None:
        """Give what a dead worker had to others, and start another in its place."""
        self._hands.remove(hand)
        self._crew.stop(hand.worker)
        self.lost += 1
        if hand.greeting is not None:
            self._failed_starts += 1
            if self._failed_starts >= self._settings.tries * self.size:
                raise Mismatch(f"Workers end before they can work: {why}")
        slots = list(hand.asked.values())
        if slots:
            slots[0].tries += 1
            if slots[0].tries >= self._settings.tries:
                raise Mismatch(
                    f"{slots[0].tries} workers ended over the same texts: {why} If it is for memory, give fewer "
                    "texts a shard or fewer workers."
                )
        self._todo.extendleft(reversed(slots))
        self._start()


def _kept(call: Call, answer: Any) -> Any:
    return answer


def _promises(hand: _Hand) -> list[Any]:
    return list(hand.asked) if hand.greeting is None else [hand.greeting]
