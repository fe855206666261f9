"""A Poly-Encoder without torch (Humeau et al. 2020, arXiv 1905.01969): two encoders, and two small attentions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from retr.encoders.kernels.native import NativeNetwork
from retr.encoders.rankers.cutting import Cutting
from retr.encoders.rankers.kept import Kept
from retr.encoders.rankers.layout import Numbers
from retr.encoders.rankers.settings import PolySettings
from retr.encoders.rankers.uni import in_runs
from retr.encoders.running.network import Network
from retr.encoders.running.session import equal_lengths, on_all_cores
from retr.retrieval.embeddings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class PolyRanker:
    """Scores of texts for a query. `codes` is float32 [codes, dim], or None where contexts are their first states."""

    contexts: Network
    candidates: Network
    codes: Floats | None
    dim: int
    settings: PolySettings
    cutting: Cutting
    kept: Kept[Floats]

    def __call__(self, query: str, texts: Sequence[str]) -> Floats:
        """float32 [texts]; vectors of candidates are kept for the next call."""
        vectors = self.kept.found(texts)
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            read = dict(zip(new, self.read_candidates(new), strict=True))
            self.kept.keep({text: vector.copy() for text, vector in read.items()})
            vectors |= read
        return score_vectors(self.read_context(query), np.stack([vectors[text] for text in texts]))

    def read_context(self, query: str) -> Floats:
        """The vectors of a query, float32 [codes, dim], or fewer where it has fewer states than `first` asks for."""
        ids = np.array([self.cutting.context(query)], np.int64)
        states = self.contexts(ids, np.zeros_like(ids))[0]
        if self.codes is None:
            return np.asarray(states[: self.settings.codes])
        return np.asarray(softmax(self.codes @ states.T) @ states, np.float32)

    def read_candidates(self, texts: Sequence[str]) -> Floats:
        """One vector a text, float32 [texts, dim], the same for every query."""
        ids = [np.array(row, np.int64) for row in self.cutting.candidates(texts)]
        return pooled(self.candidates, ids, POOLINGS[self.settings.candidate], self.dim)


def score_vectors(context: Floats, candidates: Floats) -> Floats:
    """A context's [codes, dim] and candidates' [texts, dim] to float32 [texts]. No projection, no scaling."""
    mixed = softmax(candidates @ context.T) @ context
    return np.asarray((mixed * candidates).sum(axis=1), np.float32)


def softmax(scores: Floats) -> Floats:
    """Over the last axis."""
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True), np.float32)


def _means(states: Floats, lengths: Floats) -> Floats:
    starts = (np.cumsum(lengths) - lengths).astype(np.int64)
    return np.asarray(np.add.reduceat(states, starts, axis=0) / lengths[:, None], np.float32)


def _firsts(states: Floats, lengths: Floats) -> Floats:
    return states[(np.cumsum(lengths) - lengths).astype(np.int64)]


POOLINGS: dict[str, Callable[[Floats, Floats], Floats]] = {"mean": _means, "cls": _firsts}
"""Name to (states of texts end to end [tokens, dim], their lengths [texts])."""


def pooled(network: Network, ids: Sequence[Numbers], pool: Callable[[Floats, Floats], Floats], dim: int) -> Floats:
    """One vector a text, [texts, dim], in order: of any lengths together in the kernels, else of equal lengths."""
    lengths = [len(row) for row in ids]

    def work(rows: list[int]) -> Floats:
        sizes = np.array([lengths[row] for row in rows], np.float32)
        if isinstance(network, NativeNetwork):
            together = np.concatenate([ids[row] for row in rows])
            offsets = np.concatenate([[0], np.cumsum([lengths[row] for row in rows])]).astype(np.int64)
            return pool(network.packed(together, np.zeros_like(together), offsets), sizes)
        batch = np.stack([ids[row] for row in rows]).astype(np.int64)
        return pool(network(batch, np.zeros_like(batch)).reshape(-1, dim), sizes)

    packs = isinstance(network, NativeNetwork)
    runs = in_runs(lengths, network.budget) if packs else equal_lengths(lengths, network.budget)
    return on_all_cores(runs, work, np.empty((len(ids), dim), np.float32))
