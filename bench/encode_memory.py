"""Does `retr encode` stay as small over a million texts as over the first few?

    python bench/encode_memory.py [--texts 1000000 --encoder SPEC]

Texts of 4 to 16 words of the vocabulary are made as they are read and piped into `retr encode - --lines`, whose
resident memory is looked at twice a second. Without --encoder, static embeddings of 64 random numbers a token: a model
so fast that everything around it has to keep up. Runs on Linux.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import recording
from tables import Table, number

from retr.encoders.models import MODELS

DIM, WORDS = 64, (4, 16)
EVERY_SECONDS = 0.5
AT_ONCE = 2000
PARTS = 10
"""The table has the memory in so many parts of the run."""

MAKE_STATIC = """
import sys
from pathlib import Path
import numpy as np
from retr.encoders.models import MODELS
from retr.encoders.reading.tokenizing import VOCABULARIES, bert_tokenizer
from retr.encoders.static.writing import StaticModel, write_static
folder, dim = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
tokenizer = bert_tokenizer(VOCABULARIES / next(iter(MODELS.values())).vocabulary, 256)
table = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), dim)).astype(np.float32)
write_static(folder, StaticModel(table, tokenizer))
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment."""

    seconds: float
    texts_given: int
    resident_mib: float
    threads: int


class Feeder:
    """Writes the texts into a pipe and knows how many went in."""

    def __init__(self, pipe: IO[bytes], texts: int, seed: int) -> None:
        self.given = 0
        self._pipe, self._texts, self._seed = pipe, texts, seed

    def run(self) -> None:
        """Write all, then close."""
        with self._pipe as pipe:
            for lines in batched_lines(self._texts, self._seed):
                pipe.write("".join(lines).encode())
                self.given += len(lines)


def main() -> None:
    """Run, watch, record."""
    args = arguments()
    shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True)
    spec = args.encoder or f"static={make_static(args.work / 'static')}"
    before = recording.machine()
    started = time.perf_counter()
    said, samples = watched(spec, args)
    seconds = time.perf_counter() - started
    parts = by_part(samples, args.texts)
    result = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "load_after": recording.machine()["load_1_minute"],
        "versions": {"retr": recording.versions(sys.executable, recording.retr_packages())},
        "said": recording.plain(said),
        "seconds": seconds,
        "folder_mib": sum(path.stat().st_size for path in (args.work / "out").rglob("*") if path.is_file()) / 2**20,
        "samples": [asdict(sample) for sample in samples],
        "growth_mib": parts[-1] - parts[1],
    }
    result |= {"tables": [tabulate(parts, args.texts).json()], "caption": caption(result)}
    print(tabulate(parts, args.texts).markdown(), result["caption"], sep="\n\n")
    print(recording.record(args.name, result, folder=args.results))
    shutil.rmtree(args.work)


def make_static(folder: Path) -> Path:
    """A model of random numbers, made in a process of its own so that this one stays small."""
    subprocess.run([sys.executable, "-c", MAKE_STATIC, str(folder), str(DIM)], check=True)
    return folder


def batched_lines(texts: int, seed: int) -> Iterator[list[str]]:
    """The texts, a line each; the same for the same seed."""
    from retr.encoders.reading.tokenizing import VOCABULARIES

    path = VOCABULARIES / next(iter(MODELS.values())).vocabulary
    words = [word for word in path.read_text("utf-8").split() if word.isascii() and word.isalpha()]
    draw = random.Random(seed)
    for start in range(0, texts, AT_ONCE):
        count = min(AT_ONCE, texts - start)
        yield [" ".join(draw.choices(words, k=draw.randint(*WORDS))) + "\n" for _ in range(count)]


def watched(spec: str, args: argparse.Namespace) -> tuple[Mapping[str, Any], list[Sample]]:
    """What the run says in the end, and its memory on the way."""
    command = [sys.executable, "-m", "retr", "encode", "-", "--lines", "--out", str(args.work / "out")]
    command += ["--encoder", spec, "--json", "--quiet"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None and process.stdout is not None
        feeder = Feeder(process.stdin, args.texts, args.seed)
        thread = threading.Thread(target=feeder.run, daemon=True)
        thread.start()
        started, samples = time.perf_counter(), []
        while process.poll() is None:
            resident, threads = status(process.pid)
            if resident:
                samples.append(Sample(time.perf_counter() - started, feeder.given, resident, threads))
            time.sleep(EVERY_SECONDS)
        thread.join()
        if process.returncode:
            raise SystemExit(f"retr encode ended with {process.returncode}")
        return json.loads(process.stdout.read()), samples


def status(pid: int) -> tuple[float, int]:
    """Resident MiB and threads of a process; zeros once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields.get("VmRSS", "0 kB").split()[0]) / 1024, int(fields["Threads"])


def by_part(samples: Sequence[Sample], texts: int) -> list[float]:
    """The largest memory in each tenth of the texts."""
    largest = [0.0] * PARTS
    for sample in samples:
        part = min(PARTS - 1, sample.texts_given * PARTS // texts)
        largest[part] = max(largest[part], sample.resident_mib)
    return largest


def tabulate(parts: Sequence[float], texts: int) -> Table:
    """Largest memory in each part of the run."""
    step = texts // PARTS
    return Table(
        ["texts", "largest MiB"],
        [[f"{at * step:,} to {(at + 1) * step:,}", number(mib)] for at, mib in enumerate(parts)],
    )


def caption(result: Mapping[str, Any]) -> str:
    """What was done and on which machine."""
    said, machine = result["said"], result["machine"]
    largest = max(sample["threads"] for sample in result["samples"])
    return (
        f"{said['texts']:,} texts to {said['dim']} {said['dtype']} numbers each in {result['seconds']:.0f} s "
        f"({said['texts'] / result['seconds']:,.0f} texts/s, made and piped by another process), "
        f"{result['folder_mib']:.0f} MiB written in {said['shards']} shards; from the second tenth to the last the "
        f"memory grew by {result['growth_mib']:.1f} MiB; at most {largest} threads. {machine['cpu']}, "
        f"{machine['cores']} cores; load {machine['load_1_minute']} before, {result['load_after']} after."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--encoder", default="", help="KIND=SOURCE; default: random static embeddings.")
    parser.add_argument("--name", default="encode-memory", help="The name of the recorded result.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=recording.ROOT / "bench" / "scratch" / "encode-memory")
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
