"""MedQuAD to train on: pairs of diseases that no held-out question asks about, mined negatives, and what is held out.

Nothing that is measured on is trained on, and it is checked: no held-out disease (by its name's words), nor one whose
name contains or is contained in a held-out one's, no held-out question, and no held-out answer, be it as a negative.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval_sets import data_root

from retr import CollectionSettings, create
from retr import open as open_collection
from retr.distill.mining import MiningSettings, mine
from retr.distill.mining.writing import write
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.evaluation.reading.beir import open_beir
from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels

HELD_OUT = ("dev", "test")
MINING = MiningSettings(mode="hybrid", depth=40, negatives=20, sample="top")
"""By the index's order alone: a scorer's margin would drop other answers about the disease, which are what is hard."""
HARDEST = 8
"""Negatives are drawn from so many of the mined ones, best first."""
NEGATIVES = {"pairs": 0, "hard": 1, "lists": 3}
"""Names of the row files, and their negatives a row."""
SEED = 7


@dataclass(frozen=True, slots=True)
class MedQuad:
    """The whole set; `about` a question is its disease and its type."""

    folder: Path
    documents: Mapping[str, Document]
    queries: Mapping[str, Query]
    about: Mapping[str, tuple[str, str]]
    qrels: Mapping[str, Qrels]

    @classmethod
    def read(cls) -> "MedQuad":
        """From RETR_DATA."""
        folder = data_root() / "medquad"
        splits = {split: open_beir(folder, split) for split in ("train", *HELD_OUT)}
        documents = {document.id: document for document in splits["test"].documents()}
        queries = {query.id: query for found in splits.values() for query in found.queries}
        rows = map(json.loads, (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines())
        about = {row["_id"]: (words(row["focus"]), row["qtype"]) for row in rows}
        return cls(folder, documents, queries, about, {split: found.qrels for split, found in splits.items()})

    def of(self, split: str) -> list[Query]:
        """The questions of a split."""
        return [self.queries[id] for id in self.qrels[split]]

    def pairs(self, split: str) -> Iterator[tuple[str, str]]:
        """(question, answer) by their ids."""
        grades = self.qrels[split].grades
        return ((query, document) for query, found in grades.items() for document, grade in found.items() if grade > 0)

    def clean_pairs(self) -> list[tuple[str, str]]:
        """What may be trained on; see the top of this file."""
        held = {self.about[query][0] for split in HELD_OUT for query, _ in self.pairs(split)} - {""}
        answers = {document for split in HELD_OUT for _, document in self.pairs(split)}
        diseases = {self.about[query][0] for query, _ in self.pairs("train")}
        known = {disease for disease in diseases if any(related(disease, other) for other in held)}
        return [
            (query, document)
            for query, document in self.pairs("train")
            if self.about[query][0] not in known and document not in answers
        ]


def words(name: str) -> str:
    """A name in lower case, without what is no letter or number."""
    return " ".join(re.findall(r"[a-z0-9]+", name.lower()))


def related(one: str, other: str) -> bool:
    """Whether one name, in whole words, is within the other: as of a disease and its type 2."""
    return bool(one and other) and (f" {one} " in f" {other} " or f" {other} " in f" {one} ")


def prepare(work: Path) -> Mapping[str, Any]:
    """Rows to train on, in `work`, and the BEIR folder `work/dev`; made once, then only checked. What was made."""
    facts = work / "data.json"
    data = MedQuad.read()
    if not facts.exists():
        work.mkdir(parents=True, exist_ok=True)
        pairs = data.clean_pairs()
        mined = _mined(data, pairs, work)
        counts = {name: _write_rows(data, mined, work / f"{name}.jsonl", number) for name, number in NEGATIVES.items()}
        _write_dev(data, work / "dev")
        total = sum(1 for _ in data.pairs("train"))
        made = {"train_pairs": total, "used_pairs": len(pairs), "rows": counts, "checks": check(data, work)}
        facts.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    check(data, work)
    made = json.loads(facts.read_text(encoding="utf-8"))
    return dict(made)


def check(data: MedQuad, work: Path) -> Mapping[str, int]:
    """Hold every row of every file against what is held out; the run ends where any of it is among them."""
    held = [(self_id, document) for split in HELD_OUT for self_id, document in data.pairs(split)]
    diseases = {data.about[query][0] for query, _ in held} - {""}
    questions = {words(data.queries[query].text) for query, _ in held}
    texts = {words(data.documents[document].text) for _, document in held}
    seen: set[str] = set()
    rows = 0
    for name in NEGATIVES:
        for row in read_rows(work / f"{name}.jsonl"):
            rows += 1
            seen.add(data.about[row["query_id"]][0])
            if words(row["query"]) in questions:
                raise SystemExit(f"{name}: the question {row['query_id']} is held out.")
            if any(words(text) in texts for text in (row["positive"], *row["negatives"])):
                raise SystemExit(f"{name}: an answer of {row['query_id']} is held out.")
    both = [(one, other) for one in seen for other in diseases if related(one, other)]
    if both:
        raise SystemExit(f"Diseases of the rows are held out: {both[:3]}.")
    return {"rows": rows, "diseases": len(seen), "held_out_diseases": len(diseases), "in_both": len(both)}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _mined(data: MedQuad, pairs: Sequence[tuple[str, str]], work: Path) -> list[dict[str, Any]]:
    """A row a pair, its negatives from an index of these pairs' answers alone."""
    collection_folder = work / "train-index"
    ids = {document for _, document in pairs}
    wanted = [document for id, document in data.documents.items() if id in ids]
    if collection_folder.exists():
        collection = open_collection(collection_folder)
    else:
        collection = create(collection_folder, settings=CollectionSettings(chunk=ChunkSettings(max_tokens=0)))
    if len(collection) != len(wanted):
        collection.add(wanted)
    qrels: dict[str, dict[str, int]] = {}
    for query, document in pairs:
        qrels.setdefault(query, {})[document] = 1
    queries, judged = [data.queries[id] for id in qrels], Qrels(qrels)
    write(mine(collection, queries, judged, MINING), work / "mined.jsonl", queries=queries, qrels=judged)
    return list(read_rows(work / "mined.jsonl"))


def _write_rows(data: MedQuad, mined: Sequence[Mapping[str, Any]], path: Path, number: int) -> int:
    """Rows with so many negatives, none of which answers a question of the same disease and type; how many rows."""
    answers: dict[str, set[tuple[str, str]]] = {}
    for query, document in data.pairs("train"):
        answers.setdefault(document, set()).add(data.about[query])
    drawn = random.Random(SEED)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in mined:
            both = zip(row["negative_ids"], row["negatives"], strict=True)
            wrong = [(id, text) for id, text in both if data.about[row["query_id"]] not in answers[id]][:HARDEST]
            if len(wrong) < number:
                continue
            chosen = drawn.sample(wrong, number)
            kept = {name: row[name] for name in ("query", "query_id", "positive", "positive_id")}
            kept |= {"negatives": [text for _, text in chosen], "negative_ids": [id for id, _ in chosen]}
            file.write(json.dumps(kept, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_dev(data: MedQuad, folder: Path) -> None:
    """The dev questions over the dev answers alone, so that measuring while training is cheap."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    ids = dict.fromkeys(document for _, document in data.pairs("dev"))
    documents = [{"_id": id, "title": "", "text": data.documents[id].text} for id in ids]
    queries = [{"_id": query.id, "text": query.text} for query in data.of("dev")]
    for name, rows in (("corpus", documents), ("queries", queries)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    lines = "".join(f"{query}\t{document}\t1\n" for query, document in data.pairs("dev"))
    (folder / "qrels" / "dev.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}", encoding="utf-8")
