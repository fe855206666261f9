"""One torch thread for whoever computes here, without changing how many the rest of the process uses."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_usual = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch uses one thread when called from this thread: workers run beside each other, one a core.

    torch.set_num_threads is half global: it sets the calling thread, and what threads started later begin with. So the
    first one in remembers the process's number, each puts its own thread back, and the last one out puts back the
    process's. Threads that were running before keep their number all the time; one that first uses torch
    meanwhile begins with 1.
    """
    import torch

    global _inside, _usual
    before = torch.get_num_threads()
    with _lock:
        if not _inside:
            _usual = before
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            torch.set_num_threads(before if _inside else _usual)
