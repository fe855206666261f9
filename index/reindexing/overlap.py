"""How far two encoders of the same documents agree about what is nearest."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from retr.index.reading import Reading
from retr.index.settings import SearchSettings, check_k
from retr.retrieval.records import Document

SAMPLE = 200
_WORDS = 12
_AT_ONCE = 64

Source = Literal["given", "sampled"]


@dataclass(frozen=True, slots=True)
class Overlap:
    """The share of the k best documents of one that are among the other's, over some queries.

    `sampled` queries are titles, or first words of texts, of the index's own documents: they are no users' questions.
    """

    k: int
    queries: int
    source: Source
    mean: float
    least: tuple[tuple[str, float], ...]
    """The queries whose answers change most, with their share."""


def overlap(one: Reading, other: Reading, queries: Sequence[str], k: int, source: Source) -> Overlap | None:
    """By vectors of passages, else of tokens; None where one has none of both, no documents or no queries."""
    check_k(k)
    readings = (one, other)
    if not queries or any(not each.manifest.encoders or not len(each) for each in readings):
        return None
    shares: list[float] = []
    for start in range(0, len(queries), _AT_ONCE):
        part = queries[start : start + _AT_ONCE]
        found = [
            [{hit.id for hit in hits} for hits in each.search_many(part, k, settings=_by_vectors(each))]
            for each in readings
        ]
        shares += [_share(old, new) for old, new in zip(*found, strict=True)]
    ranked = sorted(zip(queries, shares, strict=True), key=lambda pair: pair[1])
    return Overlap(k, len(shares), source, sum(shares) / len(shares), tuple(ranked[:5]))


def _by_vectors(reading: Reading) -> SearchSettings:
    return SearchSettings(mode="late" if reading.manifest.encoder is None else "dense")


def _share(old: set[str], new: set[str]) -> float:
    longest = max(len(old), len(new))
    return len(old & new) / longest if longest else 1.0


def sampled_queries(reading: Reading, count: int = SAMPLE, seed: int = 0) -> list[str]:
    """Titles of documents drawn from the seed, or where there is none the first words of their texts."""
    ids = sorted(reading.ids())
    chosen = random.Random(seed).sample(ids, min(count, len(ids)))
    return [text for document in reading.get(chosen) if (text := _query_of(document))]


def _query_of(document: Document) -> str:
    return " ".join((document.title.strip() or document.text).split()[:_WORDS]) if _said(document) else ""


def _said(document: Document) -> bool:
    return re.search(r"\w", document.title or document.text) is not None
