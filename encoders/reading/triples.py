"""A query and two candidates as one row of tokens, and how many such rows become one score a candidate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from retr.encoders.reading.folder import read_json
from retr.encoders.reading.tokenizing import check_list, tokenize
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput
from retr.retrieval.settings import settings_from

Aggregate = Literal["wins", "log_odds"]
"""A candidate's score from z, the log-odds that the first of two is the better one: the mean over the others of

wins: (sigmoid(z_ij) + 1 - sigmoid(z_ji)) / 2, the share of the others that it is better than (Pradeep et al. 2021,
arXiv 2101.05667, SYM-SUM, by the number of the others). log_odds: (z_ij - z_ji) / 2, which no clear case can saturate.
"""


@dataclass(frozen=True, slots=True)
class PairwiseSettings:
    """What retr.json says of a cross-encoder's head; one score a pair where it says nothing."""

    head: Literal["pointwise", "pairwise"] = "pointwise"
    aggregate: Aggregate = "wins"


def read_head(folder: Path) -> PairwiseSettings:
    """The head that a folder's retr.json tells of; BadInput where there is no such head."""
    path = folder / "retr.json"
    told = read_json(path, missing={}).get("cross")
    table = {key: value for key, value in told.items() if key != "kind"} if isinstance(told, dict) else {}
    return settings_from(PairwiseSettings, table, f"{path}: cross")


@dataclass(frozen=True, slots=True)
class Triple:
    """Tokens of `[CLS] query [SEP] one [SEP] other [SEP]` in the tokenizer's own manner, and their segments."""

    ids: list[int]
    segments: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Triples:
    """Makes triples of at most `max_tokens`: a query keeps a third of them, the candidates share what it leaves."""

    tokenizer: Any
    max_tokens: int
    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    segment: int

    @classmethod
    def of(cls, tokenizer: Any, max_tokens: int) -> "Triples":
        """By what the tokenizer puts around and between the two texts of a pair."""
        free = type(tokenizer).from_str(tokenizer.to_str())
        free.no_truncation()
        pair = free.encode("a", "a")
        places = [at for at, whose in enumerate(pair.sequence_ids) if whose is not None]
        first = [at for at in places if pair.sequence_ids[at] == 0]
        second = [at for at in places if pair.sequence_ids[at] == 1]
        if not first or not second or first[-1] > second[0]:
            raise BadInput("This tokenizer cannot set two texts apart, so the model can have no pairwise head.")
        ids = tuple(pair.ids)
        parts = ids[: first[0]], ids[first[-1] + 1 : second[0]], ids[second[-1] + 1 :]
        found = cls(free, max_tokens, *parts, pair.type_ids[second[0]])
        if found.room < 6:
            raise BadInput(f"A pairwise head needs 6 tokens beside the special ones; the model reads {max_tokens}.")
        return found

    @property
    def room(self) -> int:
        """Tokens of the three texts together."""
        return self.max_tokens - len(self.before) - 2 * len(self.between) - len(self.after)

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts, uncut, without special ones; they are made once and used in many triples."""
        check_list(texts)
        tokenize(self.tokenizer, texts)  # says which text is none
        return [list(encoding.ids) for encoding in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def make(self, query: Sequence[int], one: Sequence[int], other: Sequence[int]) -> Triple:
        """Cut from the ends: the query to a third, then the longer candidate; neither order is favoured."""
        query = query[: self.room // 3]
        room = self.room - len(query)
        half = room // 2
        longest = max(half, room - min(len(one), len(other)))
        one, other = one[:longest], other[:longest]
        head = [*self.before, *query, *self.between]
        tail = [*one, *self.between, *other, *self.after]
        return Triple([*head, *tail], [0] * len(head) + [self.segment] * len(tail))


def ordered_pairs(count: int) -> list[tuple[int, int]]:
    """(i, j) for all i and all other j, i by i."""
    return [(one, other) for one in range(count) for other in range(count) if one != other]


def aggregated(log_odds: Floats, how: Aggregate) -> Floats:
    """[candidates] scores from float [candidates, candidates], of which the diagonal is not read; 0 for one alone."""
    count = len(log_odds)
    found = log_odds.astype(np.float64)
    if how == "wins":
        found = 0.5 * (1.0 + np.tanh(found / 2))
        found = 0.5 * (found + 1.0 - found.T)
    else:
        found = 0.5 * (found - found.T)
    np.fill_diagonal(found, 0.0)
    return np.asarray(found.sum(axis=1) / max(count - 1, 1), np.float32)
