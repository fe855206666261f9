"""Real vectors for bench/index.py: sentences of the corpora under RETR_DATA, encoded by retr's own all-MiniLM-L6-v2.

    RETR_DATA=… python bench/index_vectors.py [--sizes 20000 100000]

Writes `20k.npy`, `100k.npy` (float32, unit rows; each size is the beginning of the next), `queries.npy` (none of them
among the rows), `meta.parquet` (id, set, characters, a uniform random bucket in 0..9999, text; row by row as in the
largest matrix), `queries.parquet` and `about.json`. Sentences are distinct after lowering case and joining white space;
their order is that of a hash of seed and text, so the same corpora give the same files.
"""

import argparse
import gzip
import hashlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import recording
from numpy.typing import NDArray

DOCUMENT_SETS = [
    "textcorpus",
    "medquad",
    "scifact",
    "msmarco-dl19",
    "cisi",
    "med",
    "cranfield",
    "hotpotqa-mini",
    "musique-mini",
    "pubmedqa",
]
QUERY_SETS = ["msmarco-dl19", "hotpotqa-mini", "musique-mini", "cisi", "med", "cranfield", "scifact", "medquad"]
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")
LENGTHS = range(25, 301)  # characters: long enough to mean something, short enough to encode many
BUCKETS = 10_000
BATCH = 2_000
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence or query, and the set that it is from."""

    source: str
    text: str


def main() -> None:
    """Collect, encode, save."""
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    root = data_folder()
    sentences = in_order((text for name in DOCUMENT_SETS for text in sentences_of(root, name)), args.seed)
    print(f"{len(sentences):,} distinct sentences of {LENGTHS.start} to {LENGTHS.stop - 1} characters", flush=True)
    largest, held_out = max(args.sizes), args.queries - args.real_queries
    if len(sentences) < largest + held_out:
        raise SystemExit(f"{largest:,} vectors were asked for; the corpora have only {len(sentences):,} sentences.")
    rows, spare = sentences[:largest], sentences[largest : largest + held_out]
    taken = {folded(text.text) for text in rows + spare}
    real = [text for text in real_queries(root, args.seed) if folded(text.text) not in taken][: args.real_queries]
    write_tables(args.out, rows, real, spare, args.seed)
    about = encode(args.out, sorted(args.sizes), rows, real + spare)
    facts = {"sentences_available": len(sentences), "real_queries": len(real), "held_out_sentences": len(spare)}
    plain = json.dumps({**facts, **about, "seed": args.seed, "machine": recording.machine()}, indent=1)
    (args.out / "about.json").write_text(plain + "\n", encoding="utf-8")
    print(plain)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--real-queries", type=int, default=700, help="the others are held-out sentences")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=recording.ROOT / "bench" / "scratch" / "vectors")
    return parser.parse_args()


def data_folder() -> Path:
    """RETR_DATA."""
    root = Path(os.environ.get("RETR_DATA", ""))
    missing = [name for name in DOCUMENT_SETS if not (root / name / "corpus.jsonl.gz").exists()]
    if missing or not root.name:
        raise SystemExit(f"Set RETR_DATA to the folder that holds {', '.join(missing)}, each with corpus.jsonl.gz.")
    return root


def sentences_of(root: Path, name: str) -> Iterator[Text]:
    """The sentences of one corpus that are neither very short nor very long."""
    with gzip.open(root / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            for sentence in SENTENCE_END.split(record["text"]):
                text = " ".join(sentence.split())
                if len(text) in LENGTHS:
                    yield Text(name, text)


def real_queries(root: Path, seed: int) -> list[Text]:
    """The sets' own queries, one set after the other in turn, so that the largest set does not crowd out the rest."""
    lists = []
    for name in QUERY_SETS:
        lines = (root / name / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        lists.append(in_order((Text(name, " ".join(json.loads(line)["text"].split())) for line in lines), seed))
    places = [(place, which) for which, texts in enumerate(lists) for place in range(len(texts))]
    return [lists[which][place] for place, which in sorted(places)]


def in_order(texts: Iterator[Text], seed: int) -> list[Text]:
    """Distinct texts in an order that looks random and depends on nothing but seed and text."""
    distinct = {folded(text.text): text for text in texts}
    return sorted(distinct.values(), key=lambda text: hashlib.sha256(f"{seed} {text.text}".encode()).digest())


def folded(text: str) -> str:
    """What two texts share that count as the same."""
    return text.casefold()


def write_tables(out: Path, rows: Sequence[Text], real: Sequence[Text], spare: Sequence[Text], seed: int) -> None:
    """What is known of each row and of each query."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buckets = np.random.default_rng(seed).integers(0, BUCKETS, len(rows), dtype=np.int32)
    pq.write_table(pa.table({**columns("s", rows), "bucket": buckets}), out / "meta.parquet")
    kinds = ["query"] * len(real) + ["sentence"] * len(spare)
    pq.write_table(pa.table({**columns("q", [*real, *spare]), "kind": kinds}), out / "queries.parquet")


def columns(letter: str, texts: Sequence[Text]) -> dict[str, Any]:
    """Id, set, length and text."""
    return {
        "id": [f"{letter}{row}" for row in range(len(texts))],
        "set": [text.source for text in texts],
        "characters": np.array([len(text.text) for text in texts], dtype=np.int32),
        "text": [text.text for text in texts],
    }


def encode(out: Path, sizes: Sequence[int], rows: Sequence[Text], queries: Sequence[Text]) -> Mapping[str, Any]:
    """Queries first, then the rows; a size is saved as soon as it is complete."""
    from retr.encoders import load_encoder

    encoder: Any = load_encoder("all-MiniLM-L6-v2")
    save(out / "queries.npy", encoder.encode_queries([text.text for text in queries]).values)
    vectors = np.empty((len(rows), encoder.dim), dtype=np.float32)
    wall, cpu, seconds = time.perf_counter(), time.process_time(), {}
    edges = sorted({*range(0, len(rows), BATCH), *sizes})
    for start, stop in itertools.pairwise(edges):
        vectors[start:stop] = encoder.encode_documents([text.text for text in rows[start:stop]]).values
        print(f"{stop:,} of {len(rows):,} rows, {time.perf_counter() - wall:.0f} s", flush=True)
        if stop in sizes:
            save(out / f"{stop // 1000}k.npy", vectors[:stop])
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            seconds[str(stop)] = {name: round(value, 1) for name, value in spent.items()}
    return {"encoder": dict(encoder.about), "fingerprint": encoder.fingerprint, "seconds": seconds}


def save(path: Path, vectors: Floats) -> None:
    """Whole or not at all: others may be waiting for the file."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, vectors)
    part.replace(path)


if __name__ == "__main__":
    main()
