"""Which exceptions a user can act on, and the one line that each becomes."""

import errno
import os
import sys
import traceback

from retr.retrieval.errors import RetrError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it (128 + SIGINT)."""
PIPE_CLOSED = 141
"""Exit code when the reader of our output went away, as shells use it (128 + SIGPIPE)."""

LONGEST_LINE = 1000
"""Characters of a message; a longer one, with a path of thousands say, is shortened in the middle."""

REMEDIES = {
    errno.ENOSPC: "Free some space, or choose another disk; what was committed is safe.",
    errno.EDQUOT: "Your disk quota is used up: free some space; what was committed is safe.",
    errno.EACCES: "Check the owner and permissions of this path.",
    errno.EPERM: "Check the owner and permissions of this path.",
    errno.EROFS: "This disk is mounted read-only: choose another folder.",
    errno.EMFILE: "Too many files are open: raise the limit with `ulimit -n 4096`.",
    errno.ENAMETOOLONG: "Use a shorter path.",
    errno.EIO: "The disk reports a read or write error: check its health before going on.",
}


def explain(error: Exception) -> str | None:
    """One line for a failure that the user can act on; None for a defect of ours, which keeps its traceback."""
    if isinstance(error, RetrError):
        return _one_line(str(error))
    if isinstance(error, OSError) and (error.errno is not None or error.filename is not None):
        return _one_line(_system(error))
    if isinstance(error, MemoryError):
        return "Out of memory. Close other programs, or give smaller files and batches."
    if isinstance(error, ImportError) and not (error.name or "retr").startswith("retr"):
        return _one_line(f"The package {error.name!r} cannot be imported: {error}. `retr doctor` says what is missing.")
    return None


def _system(error: OSError) -> str:
    what = error.strerror or str(error)
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    remedy = REMEDIES.get(error.errno or 0, "RETR_DEBUG=1 shows where it happened.")
    return f"{what}{where}. {remedy}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 3 :]}"


def report(line: str, error: Exception | None = None) -> None:
    """Write the line to standard error; RETR_DEBUG=1 puts the traceback above it."""
    if sys.stderr is None:
        return
    if error is not None and os.environ.get("RETR_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def end_in_order() -> None:
    """A plain `kill` ends the command through its `finally` blocks, so that nothing unfinished is left behind."""
    import signal

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
