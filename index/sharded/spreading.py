"""The same work done on all shards at once: each waits for its server in a thread of its own."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
_AT_ONCE = 64


class Spread:
    """Threads for as many shards, started when they are first needed; a forked process starts its own."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._lock, self._process = threading.Lock(), 0
        self._threads: ThreadPoolExecutor | None = None

    def __call__(self, work: Callable[[Given], Made], each: Sequence[Given]) -> list[Made]:
        """The results in order. Everything is done before the first error is raised."""
        if len(each) <= 1:
            return [work(one) for one in each]
        running = [self._started().submit(work, one) for one in each]
        for one in running:
            one.exception()
        return [one.result() for one in running]

    @contextmanager
    def entered(self, contexts: Sequence[AbstractContextManager[Made]]) -> Iterator[list[Made]]:
        """All contexts entered at once, and left in the end."""
        with ExitStack() as stack:
            yield self(stack.enter_context, contexts)

    def _started(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None or self._process != os.getpid():
                self._threads, self._process = ThreadPoolExecutor(min(self._shards, _AT_ONCE), "shard"), os.getpid()
            return self._threads
