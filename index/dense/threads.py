"""Queries in parallel, each on one thread: FAISS's own threads cost more than they bring for a search of a millisecond.

FAISS takes its number of threads from OpenMP, which keeps it for each calling thread. A team of OpenMP threads does
not survive a fork, so a search never makes one.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import TypeVar

from retr.index.dense.engine import faiss

_T = TypeVar("_T")
_R = TypeVar("_R")

_FIRST_PROCESS = os.getpid()
_PIECE = 16
"""Queries that are worth handing to another thread together."""
_TEAM_ROWS = 50_000
"""Fewer rows are coded as fast by one thread as by a team, which waits for its slowest in thousands of short steps."""
_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS on the calling thread alone, and afterwards as before."""
    before = faiss().omp_get_max_threads()
    if before == 1:
        yield
        return
    faiss().omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss().omp_set_num_threads(before)


def building_threads(rows: int) -> AbstractContextManager[None]:
    """A context for building: all threads for many rows, but one in a forked process, whose inherited team is gone."""
    return nullcontext() if rows >= _TEAM_ROWS and os.getpid() == _FIRST_PROCESS else one_thread()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pieces(queries: int) -> list[slice]:
    """So many queries cut for `spread`: one piece where they are few."""
    if queries < 2 * _PIECE:
        return [slice(0, queries)]
    count = min(4 * cores(), queries // _PIECE)
    cuts = [queries * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def spread(work: Callable[[_T], _R], pieces: Sequence[_T]) -> list[_R]:
    """`work` done on every piece, in order; on a pool of this process's own where there are several."""
    if len(pieces) < 2:
        return [work(piece) for piece in pieces]
    return list(_pool().map(work, pieces))


def _pool() -> ThreadPoolExecutor:
    global _lock
    process = os.getpid()
    pool = _pools.get(process)
    if pool is None:
        with _lock:
            pool = _pools.get(process)
            if pool is None:
                _pools.clear()  # A forked child inherits its parent's pool without the threads.
                pool = _pools[process] = ThreadPoolExecutor(cores(), "retr-search", initializer=_single)
    return pool


def _single() -> None:
    faiss().omp_set_num_threads(1)


def _new_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
