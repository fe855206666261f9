"""Closed-loop load in a process of its own: so many connections, each asking again as soon as it has its answer.

    python bench/serving/load.py PORT PATH CLIENTS SECONDS BODIES

BODIES is a file with one JSON body a line; they are sent in turn. Prints one line of JSON: answers, refusals, failures,
seconds, and the latencies' percentiles in milliseconds. A plain socket client, so that it takes little of the machine.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path


@dataclass
class Counts:
    """What came back."""

    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0


async def ask(port: int, requests: list[bytes], turns: "count[int]", end: float, counts: Counts) -> None:
    """One connection, until the time is up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < end:
        started = time.perf_counter()
        writer.write(requests[next(turns) % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        status = int(head[9:12])
        if status == 200:
            counts.milliseconds.append((time.perf_counter() - started) * 1000)
        elif status == 429:
            counts.refused += 1
            await asyncio.sleep(0.1)
        else:
            counts.failed += 1
    writer.close()


async def load(port: int, path: str, clients: int, seconds: float, bodies: list[bytes]) -> dict[str, float]:
    """All connections at a time."""
    requests = [
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
        for body in bodies
    ]
    counts, turns, started = Counts(), count(), time.perf_counter()
    await asyncio.gather(*(ask(port, requests, turns, started + seconds, counts) for _ in range(clients)))
    took = time.perf_counter() - started
    found = sorted(counts.milliseconds)

    def percentile(share: float) -> float:
        return found[min(len(found) - 1, int(share * len(found)))] if found else float("nan")

    return {
        "answers": len(found),
        "refused": counts.refused,
        "failed": counts.failed,
        "seconds": took,
        "per_second": len(found) / took,
        **{f"p{round(100 * share)}": percentile(share) for share in (0.5, 0.95, 0.99)},
    }


def main() -> None:
    """Read the command line, load, print."""
    port, path, clients, seconds, bodies = sys.argv[1:]
    lines = [line for line in Path(bodies).read_bytes().splitlines() if line]
    print(json.dumps(asyncio.run(load(int(port), path, int(clients), float(seconds), lines))))


if __name__ == "__main__":
    main()
