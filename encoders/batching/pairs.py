"""Queries and their candidates to scores, for many callers: pairs share batches where a pair's score is its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from retr.encoders.batching.batcher import Batch, Batcher
from retr.encoders.batching.settings import BatchSettings
from retr.encoders.cross import CrossEncoder
from retr.encoders.reading.tokenizing import check_list, tokenize
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Mismatch
from retr.retrieval.protocols import Scorer, TokenAware


@dataclass(frozen=True, slots=True, eq=False)
class ReadPairs:
    """A query with its texts as they wait: a piece a pair, or all of them as one piece."""

    works: Sequence[Any]
    weights: Sequence[int]

    @property
    def tokens(self) -> int:
        """Tokens of all pairs; words, where the scorer shows no tokenizer."""
        return sum(self.weights)


class PairBatcher:
    """A scorer that many threads ask at a time. A cross-encoder's pairs share runs; others get whole requests."""

    def __init__(
        self, scorer: Scorer, settings: BatchSettings | None = None, *, seen: Callable[[Batch], None] | None = None
    ) -> None:
        self.scorer = scorer
        self.batcher = Batcher(self._run, settings, name="reranker", seen=seen)

    def read(self, query: str, texts: Sequence[str]) -> ReadPairs:
        """The pairs tokenized, in the caller's own thread. BadInput for what is not text."""
        check_list(texts)
        if isinstance(self.scorer, CrossEncoder):
            encodings = tokenize(self.scorer.tokenizer, [(query, text) for text in texts])
            works = [(encoding.ids, encoding.type_ids) for encoding in encodings]
            return ReadPairs(works, [len(ids) for ids, _ in works])
        if not texts:
            return ReadPairs([], [])
        return ReadPairs([(query, list(texts))], [_counted(self.scorer, query, texts)])

    def submit(self, read: ReadPairs) -> "Future[list[Any]]":
        """What `joined_scores` makes the scores of. Full when too much waits."""
        return self.batcher.submit(read.works, read.weights)

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text, in order; waits for it."""
        return joined_scores(self.submit(self.read(query, texts)).result())

    def _run(self, key: object, works: list[Any]) -> list[Floats]:
        if isinstance(self.scorer, CrossEncoder):
            return list(self.scorer.logits([ids for ids, _ in works], [segments for _, segments in works])[:, None])
        return [_checked(self.scorer.score(query, texts), texts) for query, texts in works]


def joined_scores(parts: Sequence[Floats]) -> Floats:
    """The scores of a request, float32 [texts]."""
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _checked(scores: Floats, texts: Sequence[str]) -> Floats:
    if scores.shape != (len(texts),):
        raise Mismatch(f"The scorer gave scores of shape {list(scores.shape)} for {len(texts)} texts; one a text.")
    return scores


def _counted(scorer: Scorer, query: str, texts: Sequence[str]) -> int:
    given = [query, *texts]
    if isinstance(scorer, TokenAware):
        return sum(len(one.ids) for one in scorer.tokenizer.encode_batch_fast(given))
    return sum(max(1, len(text.split())) for text in given)
