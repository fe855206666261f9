"""Late interaction on a GPU beside the CPU: the same index, the same hits; queries a second, memory, recall.

    RETR_DATA=… python bench/late_tokens.py --documents 500000
    python bench/late_gpu.py [--documents 500000] [--bits 8 4 2] [--tokens bench/scratch/tokens]
    python bench/late_gpu.py --made-up --documents 500000 [--length 16]
    python bench/late_gpu.py --made-up --documents 2000 --rehearse

The index is built once for each number of bits, and searched on the CPU and on the GPU. Recall is against exact MaxSim
of the float32 vectors. Made-up tokens have no such recall as real ones; they are for times and memory alone. Needs a
torch that sees a GPU, says what is missing otherwise and records nothing. `--rehearse` takes torch's CPU for the GPU:
it shows that this script and the GPU's code run, is no measurement, and records nothing either.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

import late_protocol
import numpy as np
import recording
from numpy.typing import NDArray
from tables import Table, number

from retr.index.dense.gpu import Device
from retr.index.disk.fsio import Disk
from retr.index.late.building import build_part
from retr.index.late.codec import Codec
from retr.index.late.gpu import placing
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.mixed import MixedIndex
from retr.index.late.part import LatePart
from retr.index.late.settings import Effort, LateSettings
from retr.index.late.verifying import exact_best
from retr.retrieval.embeddings import TokenVectors

K, DIM, BLOCK = 10, 128, 2_000
SHARES = (0.5, 0.01)
EVERY = 1 << 40
COLUMNS = [
    "bits",
    "candidates",
    "searched on",
    "moving, s",
    "GPU, MB",
    "in passing, MB",
    f"recall@{K}",
    "hits of the CPU's",
    "1 query, ms",
    "batch, queries/s",
    *(f"{share:.0%} filter, queries/s" for share in SHARES),
]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Queries, the best documents by exact MaxSim, and how often each search is repeated."""

    queries: TokenVectors
    truth: NDArray[np.int64]
    repeats: int


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An index on one device, and what moving it there took: seconds and bytes, None on the CPU."""

    index: MixedIndex
    bits: int
    moving: float | None
    held: float | None


def main() -> None:
    """Measure, print, record."""
    args = arguments()
    if args.rehearse:
        rehearse()
    elif reason := placing.obstacle((0,)):
        sys.exit(f"Nothing to measure: {reason}.")
    cells = list(measured(args))
    table = Table(COLUMNS, cells)
    print(table.markdown())
    if args.rehearse:
        print("A rehearsal on torch's CPU: nothing is recorded.")
        return
    result = {
        "args": recording.plain(vars(args)),
        "machine": recording.machine() | {"gpus": gpu_names()},
        "versions": recording.versions(sys.executable, [*recording.retr_packages(), "torch"]),
        "tables": [table.json()],
    }
    print(recording.record("late-gpu", result, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=500_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--bits", type=int, nargs="+", choices=(8, 4, 2), default=[8, 4, 2])
    parser.add_argument("--candidates", type=int, nargs="+", default=[256, 1024, EVERY])
    parser.add_argument("--tokens", type=Path, default=recording.ROOT / "bench" / "scratch" / "tokens")
    parser.add_argument("--made-up", action="store_true", help="tokens by rule, not of texts")
    parser.add_argument("--length", type=int, default=16, help="tokens of a made-up document, on average")
    parser.add_argument("--rehearse", action="store_true", help="torch's CPU in the place of a GPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path, default=recording.ROOT / "bench" / "scratch" / "late-gpu")
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    return parser.parse_args()


def rehearse() -> None:
    """Take torch's CPU for GPU 0."""
    import torch

    placing.obstacle = lambda gpus: ""
    placing.device_of = lambda gpu: torch.device("cpu")


def blocks(args: argparse.Namespace) -> Iterator[TokenVectors]:
    """The documents' tokens, some thousand documents at a time."""
    if not args.made_up:
        job = {"tokens": args.tokens, "documents": args.documents}
        yield from (TokenVectors(values, ends) for values, ends in late_protocol.blocks(job))
        return
    for first in range(0, args.documents, BLOCK):
        rng = np.random.default_rng((7, first))
        lengths = np.maximum(2, rng.poisson(args.length, min(BLOCK, args.documents - first)))
        values = words()[rng.integers(0, 4000, lengths.sum())]
        values = (
            values
            + np.repeat(0.4 * directions(rng, len(lengths)), lengths, axis=0)
            + 0.6 * directions(rng, len(values))
        )
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        yield TokenVectors(values.astype(np.float32), np.concatenate([[0], np.cumsum(lengths)]))


def words() -> NDArray[np.float64]:
    """Directions that made-up tokens lie around."""
    return directions(np.random.default_rng(7), 4000)


def directions(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Of length 1."""
    values = rng.normal(size=(count, DIM))
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def queries(args: argparse.Namespace) -> TokenVectors:
    """The texts' queries; or 32 tokens each, moved, of one made-up document."""
    if not args.made_up:
        found = late_protocol.queries({"tokens": args.tokens, "queries": args.queries})
    else:
        rng, first = np.random.default_rng(8), next(blocks(args))
        drawn = [list(first)[row] for row in rng.choice(len(first), args.queries)]
        moved = [one[rng.integers(len(one), size=32)] + 0.5 * directions(rng, 32) for one in drawn]
        found = [(one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32) for one in moved]
    return TokenVectors(np.concatenate(found), np.cumsum([0, *map(len, found)]).astype(np.int64))


def measured(args: argparse.Namespace) -> Iterator[list[str]]:
    """A row a codec, a number of candidates and a device, printed as it comes."""
    asked = queries(args)
    truth = exact(args, asked)
    for bits in args.bits:
        cases, found = [case(built(args, bits), device) for device in (Device(), Device((0,)))], {}
        for candidates in args.candidates if bits != 8 else [EVERY]:
            for one in cases:
                cells, hits = row(one, candidates, Asked(asked, truth, args.repeats), found.get(candidates))
                found.setdefault(candidates, hits)
                print(" | ".join(cells), file=sys.stderr, flush=True)
                yield cells


def case(part: LatePart, device: Device) -> Case:
    """The part on a device."""
    before, started = used_bytes(), time.perf_counter()
    index = MixedIndex([part], device=device)
    moving, held = time.perf_counter() - started, used_bytes() - before
    return Case(index, part.codec.bits, *((moving, held) if device.gpus else (None, None)))


def name(args: argparse.Namespace, what: str) -> Path:
    """Where something of these documents is kept between runs."""
    args.work.mkdir(parents=True, exist_ok=True)
    source = f"made-up-{args.length}" if args.made_up else "texts"
    found: Path = args.work / f"{source}-{args.documents}-{what}"
    return found


def exact(args: argparse.Namespace, asked: TokenVectors) -> NDArray[np.int64]:
    """The best documents of each query by exact MaxSim, kept between runs."""
    path = name(args, f"best-{len(asked)}.npy")
    if not path.exists():
        np.save(path, exact_best(asked, blocks(args), K, args.documents))
    return np.asarray(np.load(path))


def built(args: argparse.Namespace, bits: int) -> LatePart:
    """The part of so many bits, kept between runs; its facts are written last."""
    folder = name(args, f"{bits}-bits")
    facts = folder / "facts.json"
    if not facts.exists():
        folder.mkdir(exist_ok=True)
        settings = LateSettings(bits=bits, centroids=0 if bits == 8 else None)
        codec, _, said = build_part(Disk(), folder, blocks(args), settings)
        codec.save(Disk(), folder)
        facts.write_text(json.dumps(said))
    return LatePart.open(folder, Codec.open(folder), json.loads(facts.read_text()), chosen_kernels())


def row(
    case: Case, candidates: int, asked: Asked, host: NDArray[np.int64] | None
) -> tuple[list[str], NDArray[np.int64]]:
    """One line of the table, and the hits; what could not be moved has its reason and no times."""
    index, effort, where = case.index, Effort(candidates=candidates), case.index.placement[0]
    head = [str(case.bits), "all" if candidates == EVERY else f"{candidates:,}", where]
    if where.startswith("CPU: "):
        return [*head, *["-"] * (len(COLUMNS) - len(head))], np.empty(0, np.int64)
    peak_bytes()
    found = index.search(asked.queries, K, effort=effort).rows
    passing = peak_bytes() - used_bytes()
    first = TokenVectors(next(iter(asked.queries)), np.array([0, len(next(iter(asked.queries)))]))
    one = best(asked.repeats, lambda: index.search(first, K, effort=effort))
    rates = [len(asked.queries) / best(asked.repeats, lambda: index.search(asked.queries, K, effort=effort))]
    for share in SHARES:
        allowed = np.random.default_rng(7).random(len(index)) < share
        seconds = best(asked.repeats, lambda: index.search(asked.queries, K, allowed, effort=effort))  # noqa: B023
        rates.append(len(asked.queries) / seconds)
    moved = [case.moving, case.held and case.held / 1e6, passing / 1e6 if case.held is not None else None]
    alike = None if host is None else shared(found, host)
    cells = [*(number(cell) for cell in moved), number(shared(found, asked.truth), 4), number(alike, 4)]
    return [*head, *cells, number(one * 1000, 3), *map(number, rates)], found


def shared(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """The share of the true rows that were found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), true.tolist(), strict=True)]))


def best(repeats: int, work: Callable[[], Any]) -> float:
    """Wall seconds of the fastest of several runs. A search ends when its hits are on the host."""
    times = [time.perf_counter()]
    for _ in range(repeats):
        work()
        times.append(time.perf_counter())
    return min(after - before for before, after in pairwise(times))


def used_bytes() -> int:
    """What torch holds on GPU 0."""
    import torch

    return torch.cuda.memory_allocated(0) if torch.cuda.is_available() else 0


def peak_bytes() -> int:
    """The most that torch held there since the last call."""
    import torch

    if not torch.cuda.is_available():
        return 0
    most = torch.cuda.max_memory_allocated(0)
    torch.cuda.reset_peak_memory_stats(0)
    return most


def gpu_names() -> list[str]:
    """As the driver calls them."""
    try:
        command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
