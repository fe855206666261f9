"""SciFact from its BEIR folder, and a deterministic part of it as a folder of text files."""

import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts as `title, blank line, text` by id; queries by id; qrels {query id: {document id: grade}}."""

    texts: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


def data_folder() -> Path:
    """RETR_DATA's scifact folder."""
    root = os.environ.get("RETR_DATA")
    if not root or not (Path(root) / "scifact").is_dir():
        raise SystemExit(
            "Set RETR_DATA to the folder that holds scifact/ (BEIR layout: corpus.jsonl[.gz], queries.jsonl, qrels/)."
        )
    return Path(root) / "scifact"


def load(folder: Path) -> Corpus:
    """The corpus and the queries of the test split."""
    texts = {row["_id"]: f"{row['title']}\n\n{row['text']}\n" for row in _rows(folder / "corpus.jsonl")}
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl") if row["_id"] in qrels}
    return Corpus(texts, queries, qrels)


def choose(corpus: Corpus, size: int, seed: int) -> Corpus:
    """`size` texts: judged ones first, query by query, then others; the queries kept have all their documents here.

    The order is that of a hash of seed and id, so any size is the beginning of every larger one.
    """
    chosen: dict[str, str] = {}
    for query in sorted(corpus.queries, key=lambda id: _place(seed, id)):
        wanted = corpus.qrels[query]
        if len(chosen.keys() | wanted.keys()) <= size:
            chosen |= {id: corpus.texts[id] for id in wanted}
    for id in sorted(corpus.texts, key=lambda id: _place(seed, id)):
        if len(chosen) >= size:
            break
        chosen.setdefault(id, corpus.texts[id])
    kept = {id: text for id, text in corpus.queries.items() if corpus.qrels[id].keys() <= chosen.keys()}
    return Corpus(chosen, kept, {id: corpus.qrels[id] for id in kept})


def write_files(texts: Mapping[str, str], folder: Path) -> None:
    """One `<id>.txt` a text."""
    folder.mkdir(parents=True)
    for id, text in texts.items():
        (folder / f"{id}.txt").write_text(text, encoding="utf-8")


def write_part(folder: Path, corpus: Corpus, part: Path) -> Path:
    """A BEIR folder that holds only the corpus's documents, as they are in `folder`."""
    part.mkdir(parents=True)
    rows = (row for row in _rows(folder / "corpus.jsonl") if row["_id"] in corpus.texts)
    (part / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return part


def pick(queries: Iterable[str], count: int, seed: int) -> list[str]:
    """`count` query ids, the same ones for every system."""
    return sorted(queries, key=lambda id: _place(seed, f"pick {id}"))[:count]


def _place(seed: int, id: str) -> bytes:
    return hashlib.sha256(f"{seed} {id}".encode()).digest()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    packed = path.with_name(f"{path.name}.gz")
    content = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    return (json.loads(line) for line in content.split(b"\n") if line.strip())
