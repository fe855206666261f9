"""A Uni-Encoder without torch (Song et al. 2023, arXiv 2106.01263): the head on each candidate's mean state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retr.encoders.rankers.cutting import Cutting
from retr.encoders.rankers.kept import Kept
from retr.encoders.rankers.layout import Numbers
from retr.encoders.rankers.networks import Context, RowNetwork
from retr.encoders.rankers.settings import UniSettings
from retr.encoders.running.session import on_all_cores, threads
from retr.retrieval.embeddings import Floats

CONTEXTS = 4
"""Contexts whose keys and values are kept; about 2 MB each for MiniLM at 110 tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class UniRanker:
    """Scores of texts for a query. `positions` is how many positions the model has; `weight` float32 [dim]."""

    network: RowNetwork
    weight: Floats
    bias: float
    settings: UniSettings
    cutting: Cutting
    positions: int
    name: str
    contexts: Kept[Context]

    def __call__(self, query: str, texts: Sequence[str]) -> Floats:
        """float32 [texts]. With one_way and shared positions the context is read once, and kept for the next call."""
        candidates = [np.array(ids, np.int64) for ids in self.cutting.candidates(texts)]
        if self.settings.comparable:
            return self.score_after(self.read(query), candidates)
        rows = [np.array(self.cutting.context(query), np.int64), *candidates]
        self.settings.check_row(sum(map(len, rows)), self.positions, self.name)
        return self.heads(self.network.together(rows, self.settings.mask, self.settings.positions), candidates)

    def read(self, query: str) -> Context:
        """The context of a query, read now or kept from before."""
        kept = self.contexts.found([query])
        if query not in kept:
            kept = {query: self.network.read(np.array(self.cutting.context(query), np.int64))}
            self.contexts.keep(kept)
        return kept[query]

    def score_after(self, context: Context, candidates: Sequence[Numbers]) -> Floats:
        """float32 [candidates], from their tokens."""

        def work(rows: list[int]) -> Floats:
            group = [candidates[row] for row in rows]
            return self.heads(self.network.after(context, group), group)

        runs = in_runs([len(one) for one in candidates], self.network.budget)
        return on_all_cores(runs, work, np.empty(len(candidates), np.float32))

    def heads(self, states: Floats, candidates: Sequence[Numbers]) -> Floats:
        """float32 [candidates]: the linear layer on the mean of each one's states, its special tokens included.

        A candidate without tokens, which some tokenizers make of an empty text, has the bias.
        """
        lengths = np.array([len(one) for one in candidates])
        real = lengths > 0
        means = np.zeros((len(lengths), len(self.weight)), np.float32)
        if real.any():
            means[real] = np.add.reduceat(states, (np.cumsum(lengths) - lengths)[real], axis=0) / lengths[real, None]
        return np.asarray(means @ self.weight + self.bias, np.float32)


def in_runs(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Rows in order, in runs of at most `budget` tokens, or of one row; about one run a core where there are few."""
    budget = min(budget, -(-sum(lengths) // threads()) + max(lengths, default=0))
    runs: list[list[int]] = []
    room = 0
    for row, length in enumerate(lengths):
        if not runs or length > room:
            runs.append([])
            room = budget
        runs[-1].append(row)
        room -= length
    return runs
