"""Run a command and say what it cost: wall seconds, CPU seconds of its whole process tree, largest resident memory."""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

MEBI = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What one or more processes took. `memory_mib` is the largest process, not the sum of a tree."""

    wall_seconds: float
    cpu_seconds: float
    memory_mib: float

    def __add__(self, other: "Cost") -> "Cost":
        """One after the other."""
        return Cost(
            self.wall_seconds + other.wall_seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.memory_mib, other.memory_mib),
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended well."""

    cost: Cost
    stdout: str
    stderr: str


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Finished:
    """Run one command to its end. It stops the benchmark when the command fails: there is nothing to compare then.

    `wait4` counts the process and every descendant that it waited for. Linux hands a process's memory high-water mark
    on to those it starts, so the caller must stay smaller than what it measures (no numpy before the end).
    """
    with TemporaryFile() as out, TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd, env=dict(env))
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    if process.returncode != 0:
        raise SystemExit(f"Exit code {process.returncode} from: {' '.join(command)}\n{texts[1][-2000:]}")
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    cost = Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / MEBI)
    return Finished(cost, texts[0], texts[1])


def summary(costs: Sequence[Cost]) -> dict[str, float]:
    """Best and median of wall and CPU seconds, and the largest memory."""
    walls, cpus = [cost.wall_seconds for cost in costs], [cost.cpu_seconds for cost in costs]
    return {
        "runs": len(costs),
        "wall_best": min(walls),
        "wall_median": statistics.median(walls),
        "cpu_best": min(cpus),
        "cpu_median": statistics.median(cpus),
        "memory_mib": max(cost.memory_mib for cost in costs),
    }


def folder_mib(folder: Path) -> float:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEBI
