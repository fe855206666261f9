"""The other end of `writers`: starts a writer, kills it, and knows what it has acknowledged."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retr.cli.trials.settings import TrialSettings

LONGEST_SECONDS = 120.0
"""After which a round is taken for hung: its writers are killed, and the trial fails."""


class Hung(Exception):
    """Writers that say nothing any more."""


class Rounds:
    """`groups` are the versions that are acknowledged; `begun` what the last writer was at when it ended.

    `usual_seconds` is how long a step takes, by those so far.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.groups: dict[int, int] = {}
        self.begun: tuple[int | None, int | None] | None = None
        self.done = 0
        self.failure = ""
        self.usual_seconds = 0.1
        self._began = 0.0
        self._process = process

    def one(self, seed: int, *, steps: int, seconds: float, limit: int | None = None) -> None:
        """A writer, killed so many seconds after so many steps, or ended by a failure before that."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([seed, self.groups, limit]) + "\n")
        self._process.stdin.flush()
        self.begun, self.failure = None, ""
        watch = threading.Timer(LONGEST_SECONDS, self._process.kill)
        watch.start()
        try:
            self._follow(steps, seconds)
        finally:
            watch.cancel()

    def _follow(self, steps: int, seconds: float) -> None:
        lines = self._lines()
        goal, killer = self.done + steps, threading.Timer(0, lambda: None)
        writer = int(next(lines)[1])
        while True:
            if self.done == goal:
                goal = -1
                killer = threading.Timer(seconds, _kill, (writer,))
                killer.start()
            kind, *values = next(lines)
            if kind == "ended":
                killer.cancel()
                return
            self._note(kind, values)

    def _note(self, kind: str, values: list[Any]) -> None:
        if kind == "begin":
            self.begun, self._began = (values[0], values[1]), time.monotonic()
        elif kind == "failed":
            self.failure = ": ".join(values)
        else:
            self.usual_seconds += (time.monotonic() - self._began - self.usual_seconds) / (self.done + 1)
            self.groups, self.begun, self.done = self.with_begun(), None, self.done + 1

    def with_begun(self) -> dict[int, int]:
        """The groups, if what was begun is done."""
        group, version = self.begun or (None, None)
        if group is None:
            return self.groups
        others = {key: value for key, value in self.groups.items() if key != group}
        return others if version is None else {**others, group: version}

    def _lines(self) -> Iterator[list[Any]]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            yield json.loads(line)
        raise Hung(f"The writers' process ended, or said nothing for {LONGEST_SECONDS:g} seconds.")


def _kill(writer: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # It has ended by itself.
        os.kill(writer, signal.SIGKILL)


@contextmanager
def rounds(folder: Path, settings: TrialSettings) -> Iterator[Rounds]:
    """Writers for an index that is there; none of them outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "retr.cli.trials.writers", str(folder), settings.disk],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        yield Rounds(process)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """End the process and what it has forked."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait()
