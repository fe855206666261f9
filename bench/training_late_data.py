"""Passages of MedQuAD's answers, and queries that are found by a few words in them: for training_late.py.

A query is an exact phrase of its passage, or part of what it says: a run of words of which some are left out. Nothing
that a query to be tested is about was trained on: the passages are others. A query is taken only if no other passage
of the pool that is searched holds it.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrieval_sets import data_root

from retr.retrieval.evaluation.reading.beir import open_beir

WORDS = 45
"""Words of a passage, drawn from anywhere in an answer."""
TRAIN, TEST = 6000, 1000
QUERIES = 600
"""Of the tested queries half are phrases, half parts; no two are of one passage."""
PHRASE, PART = (3, 5), (8, 12)
"""Words of a phrase, and of the run that a part is left of."""
LEFT_OUT = 0.4
SEED = 11
KINDS = ("phrase", "part")


def prepare(folder: Path) -> Mapping[str, Any]:
    """Write `train.jsonl`, `passages.jsonl` and `queries.jsonl`, unless they are there; what is known of the set."""
    done = folder / "data.json"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        drawn = random.Random(SEED)
        passages = list(_passages(drawn))
        test, train = passages[:TEST], passages[TEST : TEST + TRAIN]
        rows = [_row(text, KINDS[at % 2], drawn) for at, text in enumerate(train)]
        _write(folder / "train.jsonl", rows)
        _write(folder / "passages.jsonl", [{"id": f"p{at}", "text": text} for at, text in enumerate(test)])
        queries = list(_queries(test, drawn))
        _write(folder / "queries.jsonl", queries)
        told = {"train": len(rows), "passages": len(test), "queries": len(queries), "overlap": _overlap(train, test)}
        if told["overlap"]:
            raise SystemExit(f"{told['overlap']} passages to be tested on were trained on.")
        done.write_text(json.dumps(told), encoding="utf-8")
    return dict(json.loads(done.read_text(encoding="utf-8")))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _passages(drawn: random.Random) -> Iterator[str]:
    """One window of each answer, in an order drawn; of answers that read alike one."""
    seen: set[str] = set()
    documents = list(open_beir(data_root() / "medquad", "test").documents())
    drawn.shuffle(documents)
    for document in documents:
        words = document.text.split()
        start = drawn.randrange(max(1, len(words) - WORDS + 1))
        text = " ".join(words[start : start + WORDS])
        key = " ".join(_words(text))
        if len(words) >= WORDS // 2 and key not in seen:
            seen.add(key)
            yield text


def _row(text: str, kind: str, drawn: random.Random) -> dict[str, str]:
    return {"query": _query(text, kind, drawn), "positive": text}


def _query(text: str, kind: str, drawn: random.Random) -> str:
    words = text.split()
    length = drawn.randint(*(PHRASE if kind == "phrase" else PART))
    start = drawn.randrange(len(words) - length + 1)
    run = words[start : start + length]
    if kind == "part":
        kept = sorted(drawn.sample(range(length), round(length * (1 - LEFT_OUT))))
        run = [run[at] for at in kept]
    return " ".join(run)


def _queries(passages: Sequence[str], drawn: random.Random) -> Iterator[dict[str, str]]:
    """Queries that no other passage holds: not the phrase as it stands, nor all words of the part."""
    texts = [f" {' '.join(_words(text))} " for text in passages]
    sets = [set(text.split()) for text in texts]
    order = drawn.sample(range(len(passages)), len(passages))
    made = {kind: 0 for kind in KINDS}
    for at in order:
        kind = min(KINDS, key=lambda one: made[one])
        query = _query(passages[at], kind, drawn)
        words = _words(query)
        if kind == "phrase":
            holding = [row for row, text in enumerate(texts) if f" {' '.join(words)} " in text]
        else:
            holding = [row for row, found in enumerate(sets) if found.issuperset(words)]
        if holding == [at] and made[kind] < QUERIES // 2:
            made[kind] += 1
            yield {"id": f"{kind}-{made[kind]}", "query": query, "passage": f"p{at}"}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _overlap(train: Sequence[str], test: Sequence[str]) -> int:
    return len({" ".join(_words(text)) for text in train} & {" ".join(_words(text)) for text in test})


def _write(path: Path, lines: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
