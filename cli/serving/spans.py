"""Sentences of a document that are relevant to a query, and documents cut to a number of tokens."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from retr.encoders.batching.pairs import PairBatcher, joined_scores
from retr.retrieval.embeddings import Floats
from retr.retrieval.protocols import Scorer

MOST_SENTENCES = 200
_LONGEST = 1000

# The end of a sentence: its sign and what closes quotes and brackets, then space; CJK signs need none; or line breaks.
_END = re.compile("[.!?…]{1,8}[\"'”’)\\]]{0,8}(?=\\s)|[。！？]{1,8}[」』）]{0,8}|\\n")
_WORD = re.compile(r"\S+")


def sentences(text: str) -> list[tuple[int, int]]:
    """[start, end) of each sentence, without the space around it; at most MOST_SENTENCES, none without letters."""
    found: list[tuple[int, int]] = []
    start = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        for span in _pieces(text, start, end):
            if any(character.isalnum() for character in text[span[0] : span[1]]):
                found.append(span)
        start = end
        if len(found) >= MOST_SENTENCES:
            break
    return found[:MOST_SENTENCES]


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """A sentence without the space around it; one that never ends, in parts of _LONGEST characters."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return [(at, min(at + _LONGEST, end)) for at in range(start, end, _LONGEST)]


async def relevant_spans(
    scorer: PairBatcher, query: str, text: str, threshold: float, most: int | None
) -> list[dict[str, Any]]:
    """The sentences that score at least `threshold` by themselves, most relevant first."""
    places = sentences(text)
    if not places:
        return []
    read = await asyncio.to_thread(scorer.read, query, [text[start:end] for start, end in places])
    parts: list[Floats] = await asyncio.wrap_future(scorer.submit(read))
    scores = joined_scores(parts)
    spans = [
        {"start": start, "end": end, "score": sigmoid(float(score))}
        for (start, end), score in zip(places, scores, strict=True)
    ]
    kept = [span for span in spans if span["score"] >= threshold]
    return sorted(kept, key=lambda span: -span["score"])[:most]


def sigmoid(score: float) -> float:
    """A score brought to 0…1; from 36 on it is 1 as far as a float can tell."""
    return float(1 / (1 + np.exp(-np.clip(score, -700, 700))))


def cut_to_tokens(scorer: Scorer, texts: Sequence[str], most: int) -> list[str]:
    """Each text up to its first `most` tokens, or words where the scorer shows no tokenizer.

    Nothing is cut that the model would cut anyway.
    """
    tokenizer = getattr(scorer, "tokenizer", None)
    if tokenizer is None:
        return [_first_words(text, most) for text in texts]
    if most >= getattr(scorer, "max_tokens", most + 1):
        return list(texts)
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [
        text if len(one.offsets) <= most else text[: one.offsets[most - 1][1]]
        for text, one in zip(texts, encodings, strict=True)
    ]


def _first_words(text: str, most: int) -> str:
    for number, match in enumerate(_WORD.finditer(text), start=1):
        if number == most:
            return text[: match.end()]
    return text
