"""Real token vectors for bench/late.py: passages and sentences of the corpora, as the default encoder's states of them.

    RETR_DATA=… python bench/late_tokens.py [--documents 100000] [--out bench/scratch/tokens]

The first documents are MS MARCO's pooled passages of TREC DL 2019 (14,581), the others sentences of all corpora in the
order of a hash. Each state is projected on the 128 axes of largest variance (PCA, of the first passages' tokens) and
made length 1. No model was trained for late interaction, so quality is a comparison of engines over the same vectors,
and not what a trained model would reach. Goes on where it was stopped, a block of texts a file.
"""

import argparse
import gzip
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from index_vectors import DOCUMENT_SETS, Text, in_order, real_queries, sentences_of
from numpy.typing import NDArray
from recording import ROOT

from retr.encoders import load_encoder

DIM, BLOCK, SAMPLE, QUERIES = 128, 2_000, 4_000, 200
LONGEST = {"documents": 128, "queries": 32}
PASSAGES = "msmarco-dl19"
Floats = NDArray[np.float32]


def main() -> None:
    """Texts, axes, then block after block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "scratch" / "tokens")
    chosen = parser.parse_args()
    root, out = Path(os.environ["RETR_DATA"]), chosen.out
    out.mkdir(parents=True, exist_ok=True)
    ids, texts = documents_of(root, chosen.documents)
    (out / "ids.json").write_text(json.dumps(ids))
    encoder: Any = load_encoder()
    axes = axes_of(out / "axes.npy", encoder, texts[:SAMPLE])
    asked = queries_of(root)
    save(out / "queries", encoder, [text for _, text in asked], "queries", axes)
    (out / "queries.json").write_text(json.dumps(asked))
    started = time.time()
    for first in range(0, len(texts), BLOCK):
        save(out / f"{first:07d}", encoder, texts[first : first + BLOCK], "documents", axes)
        print(f"{first + BLOCK:,} of {len(texts):,} texts, {time.time() - started:.0f} s", flush=True)


def documents_of(root: Path, count: int) -> tuple[list[str], list[str]]:
    """Ids and texts; a sentence's id is its number."""
    with gzip.open(root / PASSAGES / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        passages = [json.loads(line) for line in lines]
    ids = [str(one["_id"]) for one in passages]
    texts = [f"{one.get('title', '')} {one['text']}".strip() for one in passages]
    others: list[Text] = []
    if count > len(ids):
        names = [name for name in DOCUMENT_SETS if name != PASSAGES]
        others = in_order((text for name in names for text in sentences_of(root, name)), 7)[: count - len(ids)]
    return [*ids, *(f"s{n}" for n in range(len(others)))][:count], [*texts, *(one.text for one in others)][:count]


def queries_of(root: Path) -> list[tuple[str, str]]:
    """MS MARCO's own with their ids, then those of other sets without."""
    lines = (root / PASSAGES / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    judged = [(str(one["_id"]), one["text"]) for one in map(json.loads, lines)]
    more = [("", one.text) for one in real_queries(root, 7) if one.source != PASSAGES]
    return [*judged, *more][:QUERIES]


def axes_of(path: Path, encoder: Any, texts: Sequence[str]) -> Floats:
    """The axes of largest variance, float32 [numbers of a state, 128]."""
    if not path.exists():
        values, _ = states(encoder, texts, "documents")
        second = values.T.astype(np.float64) @ values / len(values)
        np.save(path, np.linalg.eigh(second)[1][:, ::-1][:, :DIM].astype(np.float32))
    return np.asarray(np.load(path), np.float32)


def states(encoder: Any, texts: Sequence[str], side: str) -> tuple[Floats, NDArray[np.int64]]:
    """The states of each text's first tokens, made length 1: values [tokens, numbers], offsets [texts + 1]."""
    ids = [np.asarray(one, np.int64)[: LONGEST[side]] for one in encoder.tokenize(texts, side).ids]
    found, order = [np.empty((0, 0), np.float32)] * len(ids), np.argsort([len(one) for one in ids])
    for first in range(0, len(order), 64):
        some = order[first : first + 64].tolist()
        ends = np.cumsum([0, *(len(ids[row]) for row in some)]).astype(np.int64)
        flat = np.concatenate([ids[row] for row in some])
        values = unit(encoder.network.packed(flat, np.zeros_like(flat), ends))
        for row, start, end in zip(some, ends[:-1], ends[1:], strict=True):
            found[row] = values[start:end]
    return np.concatenate(found), np.cumsum([0, *(len(one) for one in found)]).astype(np.int64)


def save(path: Path, encoder: Any, texts: Sequence[str], side: str, axes: Floats) -> None:
    """float16 [tokens, 128] and offsets of some texts, whole or not at all."""
    done = path.with_suffix(".npz")
    if done.exists():
        return
    values, offsets = states(encoder, texts, side)
    with path.with_suffix(".tmp").open("wb") as file:
        np.savez(file, values=unit(values @ axes).astype(np.float16), offsets=offsets)
    path.with_suffix(".tmp").rename(done)


def unit(values: Floats) -> Floats:
    """Length 1."""
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)


if __name__ == "__main__":
    main()
