"""Does a server stay as small and as quick under half an hour of load as in its first minutes? Does it end well?

    python bench/serve_soak.py [--minutes 30 --clients 8 --pause 0 --work DIR]

`retr serve` over the sample corpus, writable, is asked for searches and embeddings, while documents are
put in and deleted, so that it moves from generation to generation, and callers break off. Memory, open files and
threads are looked at every few seconds. In the end it gets SIGTERM under load. Runs on Linux.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import recording
from tables import Table, number

PORT = 8789
PARTS = 6
WRITES_A_SECOND = 1.0
WORDS = (
    "cancer", "cell", "heart", "liver", "gene", "symptom", "cause", "treat", "child", "risk", "kidney", "virus", "skin",
    "bone", "lung", "pain", "test", "drug",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment."""

    seconds: float
    resident_mib: float
    files: int
    threads: int
    answers: int


class Callers:
    """Connections that ask until they are told to end; one in fifty requests is broken off."""

    def __init__(self, seed: int, pause: float) -> None:
        self.draw, self.pause = random.Random(seed), pause
        self.answers = self.broken = self.refused = 0
        self.failures: list[str] = []
        self.ending = threading.Event()
        self.lock = threading.Lock()

    def run(self) -> None:
        """Ask without pause, by one connection until it is closed."""
        connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
        while not self.ending.wait(self.pause):
            try:
                connection = self.ask(connection)
            except OSError as error:
                if not self.ending.is_set():
                    self.failures.append(repr(error))
                connection = HTTPConnection("127.0.0.1", PORT, timeout=60)
        connection.close()

    def ask(self, connection: HTTPConnection) -> HTTPConnection:
        """One request; the connection for the next."""
        text = " ".join(self.draw.choices(WORDS, k=self.draw.randint(2, 40)))
        path, body = self.draw.choice([("/v1/search", {"query": text}), ("/v1/embeddings", {"input": [text]})])
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        if self.draw.random() < 0.02:
            connection.close()
            self.broken += 1
            return HTTPConnection("127.0.0.1", PORT, timeout=60)
        answer = connection.getresponse()
        answer.read()
        with self.lock:
            self.answers += answer.status == 200
            self.refused += answer.status == 429
        if answer.status not in (200, 429):
            self.failures.append(f"{path}: {answer.status}")
        if answer.getheader("Connection") == "close":
            self.ending.set()
        return connection

    def write(self) -> None:
        """Put documents in and take older ones out, WRITES_A_SECOND times."""
        count = 0
        while not self.ending.wait(1 / WRITES_A_SECOND):
            count += 1
            text = " ".join(self.draw.choices(WORDS, k=60))
            ask("/v1/documents", {"documents": [{"id": f"soak-{count}", "text": text}]})
            ask("/v1/documents/delete", {"ids": [f"soak-{count - 20}"]})


def ask(path: str, body: Any) -> Any:
    """One request by a connection of its own."""
    url, head = f"http://127.0.0.1:{PORT}{path}", {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), head), timeout=60) as answer:
        return json.load(answer)


def main() -> None:
    """Run, watch, end, record."""
    args = arguments()
    environment = {**os.environ, "PYTHONPATH": str(recording.ROOT / "src")}
    index = args.work / "index"
    subprocess.run([*RETR, "index", "--sample", "--index", str(index), "--quiet"], check=True, env=environment)
    command = [*RETR, "serve", "--index", str(index), "--port", str(PORT), "--writable", "--json", "--drain-wait", "2"]
    before = recording.machine()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        callers = Callers(args.seed, args.pause)
        threads = [threading.Thread(target=callers.run) for _ in range(args.clients)]
        writer = threading.Thread(target=callers.write)
        for thread in (*threads, writer):
            thread.start()
        samples = watched(process.pid, callers, args.minutes * 60)
        process.send_signal(signal.SIGTERM)
        for thread in (*threads, writer):
            thread.join(60)
        code = process.wait(60)
    result: dict[str, Any] = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "versions": {"retr": recording.versions(sys.executable, [*recording.retr_packages(), "fastapi", "uvicorn"])},
        "samples": [asdict(sample) for sample in samples],
        "answers": callers.answers,
        "broken_off": callers.broken,
        "refused": callers.refused,
        "failures": callers.failures,
        "exit_code": code,
    }
    made = table(samples)
    result |= {"tables": [made.json()], "caption": caption(result, samples)}
    print(made.markdown(), result["caption"], sep="\n\n")
    print(recording.record("serve-soak", result, folder=args.results))


RETR = [sys.executable, "-m", "retr"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds a caller waits before it asks again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("soak-work"), help="a new folder")
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    args = parser.parse_args()
    args.work.mkdir(parents=True)
    return args


def watched(pid: int, callers: Callers, seconds: float) -> list[Sample]:
    """The server every few seconds."""
    started, samples = time.perf_counter(), []
    while (now := time.perf_counter() - started) < seconds:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in status if line.startswith(("VmRSS", "Threads"))}
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        samples.append(Sample(now, int(found["VmRSS"]) / 1024, files, int(found["Threads"]), callers.answers))
        time.sleep(min(5.0, seconds / 60))
    return samples


def parts(samples: list[Sample]) -> list[list[Sample]]:
    """The run in PARTS equal lengths of time."""
    end = samples[-1].seconds + 1e-9
    return [[one for one in samples if part <= one.seconds / end * PARTS < part + 1] for part in range(PARTS)]


def table(samples: list[Sample]) -> Table:
    """Largest memory, files and threads in each part, and the answers it gave."""
    rows = []
    for part in (part for part in parts(samples) if part):
        span = f"{part[0].seconds / 60:.1f}–{part[-1].seconds / 60:.1f}"
        worst = [number(max(one.resident_mib for one in part)), str(max(one.files for one in part))]
        rows.append([span, *worst, str(max(one.threads for one in part)), f"{part[-1].answers - part[0].answers:,}"])
    return Table(["minutes", "MiB", "open files", "threads", "answers"], rows)


def caption(result: dict[str, Any], samples: list[Sample]) -> str:
    """What was done, and how it ended."""
    largest = [max(one.resident_mib for one in part) for part in parts(samples) if part]
    pause = f"{result['args']['pause']:g} s after one another" if result["args"]["pause"] else "without pause"
    machine, growth = result["machine"], largest[-1] - largest[min(1, len(largest) - 1)]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1_minute']} before. Searches and "
        f"embeddings by {result['args']['clients']} callers, {pause}, a document put in and one deleted a second, "
        "one caller in fifty breaking off: "
        f"{result['answers']:,} answers, {result['broken_off']:,} broken off, {result['refused']} refused, "
        f"{len(result['failures'])} failed. Largest memory of the last part less that of the second: "
        f"{growth:+.1f} MiB. SIGTERM under load: exit code {result['exit_code']}."
    )


if __name__ == "__main__":
    main()
