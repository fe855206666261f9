"""What a long-lived process does about memory."""

import ctypes
import sys

HEAPS = 2
_M_ARENA_MAX = -8


def share_heaps() -> bool:
    """Let all threads share HEAPS heaps of glibc; whether that could be asked for. Call it before threads start.

    Otherwise every thread gets a heap of its own, and those that come and go with each commit leave theirs full of
    holes: measured over 240 commits of one document, 340 MB instead of 153.
    """
    if not sys.platform.startswith("linux"):
        return False
    ask = getattr(ctypes.CDLL(None), "mallopt", None)
    return ask is not None and bool(ask(_M_ARENA_MAX, HEAPS))
