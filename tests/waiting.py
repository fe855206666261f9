"""Waiting in tests for what another thread or process brings about: by looking, with an end."""

import time
from collections.abc import Callable


def wait_for(holds: Callable[[], object], seconds: float = 60) -> None:
    """Return as soon as `holds` does; an AssertionError when it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"it did not come to that within {seconds:g} s"
        time.sleep(0.005)
