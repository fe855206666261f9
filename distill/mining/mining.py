"""Mining: every judged query searched, what is known or believed to be relevant left out, the rest drawn from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from retr.distill.mining.candidates import Pool, Pools, Text, relevant
from retr.distill.mining.choosing import taken
from retr.distill.mining.judging import settled
from retr.distill.mining.margins import Choice, Measured, choose, compare
from retr.distill.mining.settings import Bounds, MiningSettings
from retr.index.collection import Collection
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Query
from retr.retrieval.runs import Qrels

Report = Callable[[str, int, int], None]
"""Told of progress: a unit, how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A training row: a query, one relevant text, hard negatives in the index's order; without a scorer no scores."""

    query: Query
    positive: Text
    negatives: tuple[Text, ...]
    positive_score: float | None = None
    scores: tuple[float, ...] | None = None


@dataclass(slots=True)
class Counts:
    """What became of queries and candidates. A candidate counts once for each positive that it stands beside."""

    queries: int = 0
    queries_without_judgement: int = 0
    judged_without_query: int = 0
    positives_not_in_index: int = 0
    rows: int = 0
    rows_with_fewer: int = 0
    rows_without_negatives: int = 0
    negatives: int = 0
    candidates: int = 0
    relevant_found: int = 0
    same_text: int = 0
    skipped: int = 0
    false_negatives: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """One query's scores: float32 a positive, which of its passages has it, and float32 a candidate."""

    positives: Floats
    passages: tuple[int, ...]
    candidates: Floats


class Mining:
    """Rows to iterate over, once or again; `counts` are those of the last iteration, so far."""

    def __init__(
        self,
        collection: Collection,
        queries: Sequence[Query],
        qrels: Qrels,
        settings: MiningSettings,
        *,
        scorer: Scorer | None = None,
        report: Report | None = None,
    ) -> None:
        self.collection, self.scorer = collection, scorer
        self.settings = settled(settings, scorer)
        self.queries = [query for query in queries if query.id in qrels.grades and relevant(qrels, query.id)]
        if not self.queries:
            raise BadInput(
                f"None of the {len(queries)} queries is judged: no id of theirs has a relevant document in the qrels. "
                "Give queries and qrels of one set."
            )
        self._qrels, self._given, self._report = qrels, len(queries), report or _silent
        self._pools = Pools(collection, qrels, self.settings)
        self._known: dict[str, _Scores] = {}
        self.counts = Counts()
        self.measured: Measured | None = None
        self.choice: Choice | None = None
        if scorer is not None:
            self.measured = self._measure()
        self.bounds = self._bounds()

    def __iter__(self) -> Iterator[Mined]:
        self.counts = Counts(queries=len(self.queries))
        self.counts.queries_without_judgement = self._given - len(self.queries)
        asked = {query.id for query in self.queries}
        self.counts.judged_without_query = sum(
            id not in asked and bool(relevant(self._qrels, id)) for id in self._qrels
        )
        for done, pool in enumerate(self._pools.of(self.queries), start=1):
            yield from self._rows(pool)
            self._report("queries mined", done, len(self.queries))

    def _measure(self) -> Measured:
        """Score some queries before all, drawn by the seed; their scores are kept, so that nothing is scored twice."""
        rng = np.random.default_rng(self.settings.seed)
        count = min(self.settings.measured, len(self.queries))
        drawn = [self.queries[place] for place in np.sort(rng.permutation(len(self.queries))[:count])]
        scores = []
        for done, pool in enumerate(self._pools.of(drawn), start=1):
            if pool.positives:
                each = self._known[pool.query.id] = self._scored(pool)
                found = [one.found for one in pool.positives]
                scores.append((each.positives.astype(np.float64), each.candidates.astype(np.float64), found))
            self._report("queries measured", done, count)
        return compare(scores, self.settings.seed)

    def _bounds(self) -> Bounds:
        margin, settings = self.settings.margin, self.settings
        if margin == "auto":
            assert self.measured is not None
            self.choice = choose(self.measured, settings.false_negatives)
            margin = self.choice.margin
        return Bounds(margin, settings.relative_margin, settings.max_score)

    def _scored(self, pool: Pool) -> _Scores:
        """All of a query's texts in one call, so that a listwise scorer sees them together."""
        assert self.scorer is not None
        passages = [text for one in pool.positives for text in one.passages]
        texts = passages + [one.text for one in pool.candidates]
        values = np.asarray(self.scorer.score(pool.query.text, texts), np.float32)
        if values.shape != (len(texts),):
            raise Mismatch(
                f"The scorer gave scores of shape {list(values.shape)} for {len(texts)} texts; one is needed."
            )
        if not np.isfinite(values).all():
            raise BadInput(
                f"The scorer gave NaN or infinity for the query {pool.query.id!r}. Check the model's weights."
            )
        ends = np.cumsum([len(one.passages) for one in pool.positives])
        parts = np.split(values[: len(passages)], ends[:-1])
        best = tuple(int(np.argmax(part)) for part in parts)
        highest = np.array([part[place] for part, place in zip(parts, best, strict=True)], np.float32)
        return _Scores(highest, best, values[len(passages) :])

    def _rows(self, pool: Pool) -> Iterator[Mined]:
        counts = self.counts
        counts.positives_not_in_index += len(relevant(self._qrels, pool.query.id)) - len(pool.positives)
        if not pool.positives:
            return
        counts.relevant_found += pool.removed["relevant"]
        counts.same_text += pool.removed["same_text"]
        counts.skipped += pool.removed["skipped"]
        scores = None
        if self.scorer is not None:
            scores = self._known.get(pool.query.id) or self._scored(pool)
        for number in range(len(pool.positives)):
            row = self._row(pool, number, scores)
            counts.negatives += len(row.negatives)
            counts.rows_with_fewer += 0 < len(row.negatives) < self.settings.negatives
            counts.rows_without_negatives += not row.negatives
            if row.negatives:
                counts.rows += 1
                yield row

    def _row(self, pool: Pool, number: int, scores: _Scores | None) -> Mined:
        positive, candidates = pool.positives[number], pool.candidates
        self.counts.candidates += len(candidates)
        believed = np.ones(len(candidates), bool)
        if scores is not None:
            believed = self.bounds.believed(float(scores.positives[number]), scores.candidates)
            believed |= np.array(
                [one.judged for one in candidates], bool
            )  # People have said so; no scorer knows better.
        self.counts.false_negatives += int(np.count_nonzero(~believed))
        left = np.flatnonzero(believed)
        chosen = left[taken(len(left), self.settings, f"{pool.query.id}\0{positive.id}")]
        text = positive.passages[0 if scores is None else scores.passages[number]]
        row = Mined(pool.query, Text(positive.id, text), tuple(candidates[place] for place in chosen))
        if scores is None:
            return row
        values = tuple(float(value) for value in scores.candidates[chosen])
        return replace(row, positive_score=float(scores.positives[number]), scores=values)


def mine(
    collection: Collection,
    queries: Sequence[Query],
    qrels: Qrels,
    settings: MiningSettings | None = None,
    *,
    scorer: Scorer | None = None,
    report: Report | None = None,
) -> Mining:
    """Hard negatives for every judged query and each of its relevant documents: an iterable of `Mined`.

    Candidates are what the collection finds, without relevant documents and texts equal to theirs or the query's. With
    a scorer, those that come too near to the positive, or above it, are taken for relevant but unlabelled and left out
    (RocketQA, arXiv 2010.08191; NV-Retriever, arXiv 2407.15831), unless the qrels judge them with grade 0 or less. The
    margin is settled before this returns; the rest is done as rows are asked for. Same inputs give the same rows.

    BadInput for queries none of which is judged, and for bounds without a scorer or that its scores cannot have.
    """
    return Mining(collection, queries, qrels, settings or MiningSettings(), scorer=scorer, report=report)


def _silent(unit: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""
