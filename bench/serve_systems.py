"""The servers of bench/serve.py: how each is started, and what it can be asked."""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recording import ROOT

HERE = ROOT / "bench" / "serving"
START_SECONDS = 120
PORT = 8790
KINDS = ("question", "passage", "search dense", "search hybrid")
"""What is asked: the vector of a question, that of an abstract, the ten best documents for a question."""


@dataclass(frozen=True, slots=True)
class System:
    """One server. `asked` are the kinds of requests it answers, `ready` the path that says it is up."""

    name: str
    command: Sequence[str]
    asked: Sequence[str]
    ready: str = "/ready"


def all_systems(args: argparse.Namespace) -> list[System]:
    """The rows in the table's order."""
    port, model, here = str(PORT), str(args.model), [sys.executable]
    ours = [*here, "-m", "retr", "serve", "--quiet", "--port", port, "--name", "model", "--drain-wait", "0", "--index"]
    script = [
        *here,
        str(HERE / "st_script.py"),
        port,
        model,
        str(args.work / "corpus.jsonl"),
        str(args.work / "vectors.npy"),
    ]
    found = [
        System("retr", [*ours, str(args.work / "int8")], KINDS),
        System("retr, float32", [*ours, str(args.work / "float32")], KINDS),
        System("FastAPI + sentence-transformers", script, KINDS[:3]),
    ]
    if args.infinity_python is not None:
        command = [str(args.infinity_python), str(HERE / "infinity_script.py"), port, model]
        found.append(System("infinity", command, KINDS[:2], "/health"))
    return found


@contextmanager
def running(system: System, log: Path, core: int | None) -> Iterator[int]:
    """The server's process id, once it answers; it is ended afterwards. With `core` it has that one alone."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT / "src"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    with log.open("w") as out:
        pin = [] if core is None else ["taskset", "-c", str(core)]
        process = subprocess.Popen([*pin, *system.command], stdout=out, stderr=out, env=environment)
        try:
            await_ready(f"http://127.0.0.1:{PORT}{system.ready}", process, log)
            yield process.pid
        finally:
            process.terminate()
            process.wait(60)


def await_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the server answers 200."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"The server ended: {log.read_text()[-1000:]}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"The server did not answer within {START_SECONDS} s: {log.read_text()[-1000:]}")


def load(path: str, clients: int, seconds: float, bodies: Path) -> Mapping[str, float]:
    """What bench/serving/load.py measures."""
    command = [sys.executable, str(HERE / "load.py"), str(PORT), path, str(clients), str(seconds), str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def resident_mib(pid: int) -> float:
    """Memory of a process on Linux."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, all its threads together, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
