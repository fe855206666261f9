"""Parsers that a hostile file could hang, crash or make eat the memory run in a process of their own, with limits."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retr.retrieval.corpus.report import Rejected

if TYPE_CHECKING:
    from subprocess import Popen

MEMORY_BYTES = 2 * 2**30
"""The address space of the process; on systems that do not enforce RLIMIT_AS (macOS) there is no such limit."""

_JSON_BYTES_A_CHARACTER = 12
_ROOT = str(Path(__file__).parents[3])
_START = (
    "import sys; sys.path[0:0] = [] if sys.argv[1] in sys.path else [sys.argv[1]];"
    " from retr.retrieval.corpus.worker import main; main(int(sys.argv[2]))"
)


class Isolation:
    """One process for many files: started with the first, and anew after one that it did not survive."""

    def __init__(self, seconds: float, *, memory: int = MEMORY_BYTES, command: Sequence[str] | None = None) -> None:
        """`seconds` is the most that one file may take; `command` is another program to run in place of our worker."""
        self._seconds = seconds
        # -P: what lies in the current folder is not imported.
        self._command = list(command or (sys.executable, "-P", "-c", _START, _ROOT, str(memory)))
        self._process: Popen[bytes] | None = None

    def __enter__(self) -> "Isolation":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def parse(self, parser: str, path: Path, limit: int) -> dict[str, Any]:
        """What one of `worker.PARSERS` makes of a file, of at most `limit` characters.

        Rejected when that refuses the file, takes too long, runs out of memory or crashes; OSError when no process can
        be started.
        """
        request = {"parser": parser, "path": os.path.abspath(path), "limit": limit, "seconds": self._seconds}
        most = _JSON_BYTES_A_CHARACTER * limit + 2**20
        answer, late = self._ask(json.dumps(request).encode() + b"\n", most)
        if late:
            self._stop()
            raise Rejected(f"took longer than {self._seconds:g} s to parse")
        if len(answer) >= most:
            self._stop()
            raise Rejected(f"more than {limit:,} characters of text; raise --max-document-bytes")
        if not answer.endswith(b"\n"):
            raise Rejected(f"the parser crashed ({self._stop(grace=1.0)})")
        found: dict[str, Any] = json.loads(answer)
        if found.get("exhausted"):
            self._stop()
        if "rejected" in found:
            raise Rejected(found["rejected"])
        return found

    def _ask(self, request: bytes, most: int) -> tuple[bytes, bool]:
        """The line that answers, as far as it came, and whether time ran out."""
        from threading import Event, Timer

        process = self._process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        late = Event()

        def end() -> None:
            late.set()
            process.kill()

        timer = Timer(self._seconds, end)
        timer.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            return process.stdout.readline(most), late.is_set()
        except BrokenPipeError:
            return b"", late.is_set()
        finally:
            timer.cancel()
            timer.join()

    def _start(self) -> "Popen[bytes]":
        from subprocess import DEVNULL, PIPE, Popen

        return Popen(self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)

    def _stop(self, grace: float = 0.0) -> str:
        """End the process, at once or after `grace` seconds, and say how it ended."""
        from subprocess import TimeoutExpired

        process, self._process = self._process, None
        if process is None:
            return "not started"
        try:
            process.wait(grace)
        except TimeoutExpired:
            process.kill()
        process.communicate()
        code = process.returncode
        return f"signal {-code}" if code < 0 else f"exit status {code}"
