"""The writer's lock between processes: the second is refused, and a killed first one leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

from retr.cli.trials.groups import made
from retr.cli.trials.settings import Outcome, TrialSettings
from retr.index.disk.lock import Busy, WriterLock

TIMES = 5
WAIT_SECONDS = 5.0

HOLDER = """
import sys
from pathlib import Path
from retr.index.disk.lock import Busy, WriterLock
for line in sys.stdin:
    try:
        with WriterLock(Path(sys.argv[1])):
            print("held", flush=True)
            sys.stdin.readline()
        print("free", flush=True)
    except Busy:
        print("busy", flush=True)
"""


def try_locks(folder: Path, settings: TrialSettings) -> Outcome:
    """Take the lock here and there in turn, and at last kill the process that holds it."""
    found = Outcome("locks")
    made(folder, settings.made_disk())
    process = _holder(folder)
    try:
        for _ in range(TIMES):
            _expect(found, process, "held", "A free lock was refused to another process.")
            if not _busy(folder):
                found.problems.append("Two processes hold the writer's lock at once. Is this a network file system?")
            _expect(found, process, "free", "A lock could not be let go.")
            with WriterLock(folder, wait_seconds=WAIT_SECONDS):
                _expect(found, process, "busy", "Another process was given the lock that is held here.")
        _expect(found, process, "held", "A free lock was refused to another process.")
        process.kill()
        process.wait()
        if _busy(folder, WAIT_SECONDS):
            found.problems.append(f"The lock of a killed process is still held after {WAIT_SECONDS:g} seconds.")
    finally:
        _end(process)
    found.counts = {"times": TIMES}
    found.tried = f"the writer's lock taken {TIMES} times by each of two processes, the second refused; a killed holder"
    return found


def _expect(found: Outcome, process: "subprocess.Popen[str]", answer: str, problem: str) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    if process.stdout.readline().strip() != answer:
        found.problems.append(problem)


def _busy(folder: Path, seconds: float = 0.0) -> bool:
    try:
        with WriterLock(folder, wait_seconds=seconds):
            return False
    except Busy:
        return True


def _holder(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait()
