"""What a static student learns of a corpus in one reading: how often words come, and passages drawn from it."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document

SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
MOST_SENTENCES = 3
LEAST_CHARACTERS = 20
MOST_CHARACTERS = 1000
MOST_PARTS = 2_000_000
"""Different words counted, with their punctuation; beyond it those that came once are forgotten, some 200 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class CorpusFacts:
    """`parts` counts what stands between spaces; `passages` were drawn with equal chance; `sha256` is of the texts."""

    documents: int
    parts: Counter[str]
    passages: list[str]
    sha256: str


def read_corpus(documents: Iterable[Document], *, passages: int, seed: int) -> CorpusFacts:
    """One pass; memory does not grow with the corpus. BadInput for one without text.

    Passages are 1 to 3 neighbouring sentences. They are drawn as in Vitter's Algorithm R (1985), so each of the corpus
    is as likely, and the same corpus in the same order with the same seed gives the same ones.
    """
    rng = np.random.default_rng(seed)
    digest = hashlib.sha256()
    parts: Counter[str] = Counter()
    drawn: list[str] = []
    count = seen = 0
    for document in documents:
        text = f"{document.title}\n{document.text}" if document.title else document.text
        count += 1
        digest.update(hashlib.sha256(text.encode("utf-8", "replace")).digest())
        parts.update(text.split())
        if len(parts) > MOST_PARTS:
            parts = Counter({part: times for part, times in parts.items() if times > 1})
        for passage in _passages(text, rng):
            seen += 1
            place = len(drawn) if len(drawn) < passages else int(rng.integers(seen))
            if place < passages:
                drawn[place : place + 1] = [passage]
    if not drawn and passages:
        raise BadInput(
            f"The corpus has no sentence of {LEAST_CHARACTERS} characters (documents: {count:,}). Give more text."
        )
    kept = list(dict.fromkeys(drawn))
    return CorpusFacts(count, parts, [kept[row] for row in rng.permutation(len(kept))], digest.hexdigest())


def _passages(text: str, rng: np.random.Generator) -> Iterator[str]:
    sentences = [sentence.strip() for sentence in SENTENCE_END.split(text) if sentence.strip()]
    first = 0
    while first < len(sentences):
        last = first + int(rng.integers(1, MOST_SENTENCES + 1))
        passage = " ".join(sentences[first:last])[:MOST_CHARACTERS]
        if len(passage) >= LEAST_CHARACTERS:
            yield passage
        first = last
