"""MuTual for training_mutual.py: dialogues cut alike for every kind of model, rows of training, lists of candidates."""

import gzip
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from retr.encoders.reading.tokenizing import read_tokenizer

CONTEXT_TOKENS, CANDIDATE_TOKENS = 144, 48
"""Special tokens included; both together are what the cross-encoder reads."""
TURN = re.compile(r" (?=[mf] : )")
TRIED, HELD_OUT = 0.2, 0.1
"""The shares of the training dialogues on which a learning rate is tried and judged."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A context, its turns as lines, and the candidates for its next turn, of which the one at `right` is right."""

    id: str
    context: str
    candidates: tuple[str, ...]
    right: int

    @property
    def labels(self) -> list[int]:
        """1 for the right candidate, else 0."""
        return [int(at == self.right) for at in range(len(self.candidates))]

    @property
    def opening(self) -> str:
        """The first two turns, by which one talk is told from another."""
        return "\n".join(self.context.split("\n")[:2])


def read_dialogues(folder: Path, split: str) -> list[Dialogue]:
    """All of a split, whole."""
    with gzip.open(folder / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        Dialogue(row["_id"], TURN.sub("\n", row["context"]), tuple(row["candidates"]), row["label"]) for row in rows
    ]


def without_doubles(training: Sequence[Dialogue], tested: Iterable[Dialogue]) -> list[Dialogue]:
    """The training dialogues that begin like none of the tested ones and whose right reply is not a wrong one too."""
    openings = {dialogue.opening for dialogue in tested}
    return [
        dialogue
        for dialogue in training
        if dialogue.opening not in openings and dialogue.candidates.count(dialogue.candidates[dialogue.right]) == 1
    ]


class Cutter:
    """Texts that fit, so that no kind of model has to cut: a context loses its oldest turns, a candidate its end."""

    def __init__(self, model: Path) -> None:
        self._tokenizer, _ = read_tokenizer(model, 512)
        self._tokenizer.no_truncation()

    def cut(self, dialogue: Dialogue) -> Dialogue:
        """Context and candidates within their tokens; a last turn that is too long loses its beginning."""
        candidates = tuple(self._end_off(text) for text in dialogue.candidates)
        return replace(dialogue, context=self._newest(dialogue.context), candidates=candidates)

    def _newest(self, context: str) -> str:
        turns = context.split("\n")
        while len(turns) > 1 and self._count("\n".join(turns)) > CONTEXT_TOKENS:
            turns = turns[1:]
        words = "\n".join(turns)
        while self._count(words) > CONTEXT_TOKENS:
            words = words.split(" ", 1)[1]
        return words

    def _end_off(self, text: str) -> str:
        while self._count(text) > CANDIDATE_TOKENS:
            text = text.rsplit(" ", 1)[0]
        return text

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text).ids)


def parts(dialogues: Iterable[Dialogue]) -> tuple[list[Dialogue], list[Dialogue]]:
    """Dialogues to try a learning rate on and to judge it by; all contexts of one talk are on one side."""
    placed = [(dialogue, _place(dialogue.opening)) for dialogue in dialogues]
    tried = [dialogue for dialogue, place in placed if place < TRIED]
    return tried, [dialogue for dialogue, place in placed if place >= 1 - HELD_OUT]


def _place(text: str) -> float:
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


def with_others(dialogues: Sequence[Dialogue], pool: Sequence[Dialogue], count: int, seed: int) -> list[Dialogue]:
    """Each dialogue with replies out of other talks of the pool behind its own, `count` candidates in all.

    A larger count begins with the same candidates. A reply that a dialogue has already is not drawn for it.
    """
    return [replace(one, candidates=tuple(_filled(one, pool, count, seed))) for one in dialogues]


def _filled(dialogue: Dialogue, pool: Sequence[Dialogue], count: int, seed: int) -> list[str]:
    drawn = random.Random(f"{seed}/{dialogue.id}")
    found = list(dialogue.candidates)
    while len(found) < count:
        other = drawn.choice(pool)
        text = drawn.choice(other.candidates)
        if other.opening != dialogue.opening and text not in found:
            found.append(text)
    return found


def sample(dialogues: Sequence[Dialogue], count: int, seed: int) -> list[Dialogue]:
    """So many of them, drawn by the seed."""
    return random.Random(seed).sample(list(dialogues), min(count, len(dialogues)))


def write_rows(dialogues: Iterable[Dialogue], path: Path) -> Path:
    """The rows as training reads them: query, positive, negatives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(dialogues)), encoding="utf-8")
    return path


def _rows(dialogues: Iterable[Dialogue]) -> Iterator[Mapping[str, Any]]:
    for one in dialogues:
        wrong = [text for at, text in enumerate(one.candidates) if at != one.right]
        yield {"query": one.context, "positive": one.candidates[one.right], "negatives": wrong}
