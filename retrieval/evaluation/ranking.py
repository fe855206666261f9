"""Metrics of a run against qrels, equal to trec_eval's with -c: ndcg, map, mrr, recall, precision, hits, judged.

Documents are ordered as trec_eval does (`runs.ranked`). A grade above 0 is relevant; a document that was not judged
counts as not relevant, except for `judged`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.runs import Qrels, Run, ranked

Grades = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """One query's answer as a metric sees it, cut at its k: everything a metric may use.

    gains: float64 [found], the grade of each document in order of rank, 0 where not relevant or not judged;
    judged: bool [found]; ideal: float64 [relevant], all grades above 0 that the qrels hold, falling, never cut.
    """

    gains: Grades
    judged: NDArray[np.bool_]
    ideal: Grades

    def cut(self, k: int | None) -> "Ranking":
        """The first k documents of it."""
        return Ranking(self.gains[:k], self.judged[:k], self.ideal)


Metric = Callable[[Ranking, int | None], float]
"""From a query's ranking, already cut at k, and k (None: everything that was found)."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The mean of each metric over all judged queries, and each query's own value: per_query[metric][query id].

    `queries` counts the judged queries. Of them, those the run does not hold (`missing`) counted 0 everywhere; queries
    of the run without a judgement (`unjudged`) were left out.
    """

    means: Mapping[str, float]
    per_query: Mapping[str, Mapping[str, float]]
    queries: int
    missing: tuple[str, ...]
    unjudged: tuple[str, ...]


def evaluate(run: Run, qrels: Qrels, metrics: Sequence[str]) -> Evaluation:
    """Each metric, such as `ndcg@10` or `map`, of each judged query, and the means over them.

    BadInput when no query is judged, or when the run and the qrels share no query; NotFound for an unknown metric.
    """
    wanted = {name: parse_metric(name) for name in metrics}
    judged = {qid: grades for qid, grades in qrels.grades.items() if grades}
    _check_overlap(run, judged)
    rankings = {qid: _ranking(run.scores.get(qid, {}), grades) for qid, grades in judged.items()}
    return mean_evaluation(
        rankings,
        wanted,
        missing=tuple(qid for qid in judged if not run.scores.get(qid)),
        unjudged=tuple(qid for qid in run.scores if qid not in judged),
    )


def mean_evaluation(
    rankings: Mapping[str, Ranking],
    metrics: Mapping[str, tuple[Metric, int | None]],
    *,
    missing: tuple[str, ...] = (),
    unjudged: tuple[str, ...] = (),
) -> Evaluation:
    """Each metric of each ranking, cut at the metric's own k, and the means over all of them."""
    per_query = {
        name: {qid: metric(ranking.cut(k), k) for qid, ranking in rankings.items()}
        for name, (metric, k) in metrics.items()
    }
    return evaluation_of(per_query, missing=missing, unjudged=unjudged)


def evaluation_of(
    per_query: Mapping[str, Mapping[str, float]], *, missing: tuple[str, ...] = (), unjudged: tuple[str, ...] = ()
) -> Evaluation:
    """The means of what every query got; each metric holds the same queries."""
    count = len(next(iter(per_query.values()), {}))
    means = {name: math.fsum(values.values()) / count for name, values in per_query.items()}
    return Evaluation(means, per_query, count, missing, unjudged)


def parse_metric(name: str) -> tuple[Metric, int | None]:
    """`ndcg@10` to the function and 10; without `@k`, the whole ranking counts."""
    word, at, depth = name.strip().lower().partition("@")
    if word not in METRICS:
        raise unknown("metric", word, METRICS)
    if not at:
        return METRICS[word], None
    if not (depth.isascii() and depth.isdigit() and int(depth[:10]) > 0 and len(depth) <= 9):
        raise BadInput(f"The metric {name!r} has no whole number from 1 on after the @. Example: {word}@10.")
    return METRICS[word], int(depth)


def _check_overlap(run: Run, judged: Mapping[str, object]) -> None:
    if not judged:
        raise BadInput("The qrels hold no judgement, so nothing can be evaluated. Check the qrels file.")
    if run.scores and not any(qid in judged for qid in run.scores):
        raise BadInput(
            f"No query of the run is in the qrels: the run has {next(iter(run.scores))!r}, "
            f"the qrels have {next(iter(judged))!r}. Are they of the same data set and split?"
        )


def _ranking(scores: Mapping[str, float], grades: Mapping[str, int]) -> Ranking:
    order = ranked(scores)
    gains = np.array([max(grades.get(docid, 0), 0) for docid in order], dtype=np.float64)
    judged = np.array([docid in grades for docid in order], dtype=np.bool_)
    ideal = np.array(sorted((grade for grade in grades.values() if grade > 0), reverse=True), dtype=np.float64)
    return Ranking(gains, judged, ideal)


def ndcg(ranking: Ranking, k: int | None) -> float:
    """Discounted gain over the best possible one: sum of grade / log2(rank + 1) (Järvelin and Kekäläinen, 2002)."""
    best = _discounted(ranking.ideal[:k])
    return _discounted(ranking.gains) / best if best else 0.0


def average_precision(ranking: Ranking, k: int | None) -> float:
    """The precision at the rank of each relevant document found, summed, over the number of relevant documents."""
    relevant = ranking.gains > 0
    precisions = np.cumsum(relevant) / np.arange(1, len(relevant) + 1)
    return _share(float(precisions[relevant].sum()), len(ranking.ideal))


def reciprocal_rank(ranking: Ranking, k: int | None) -> float:
    """1 / the rank of the first relevant document; 0 without one."""
    ranks = np.flatnonzero(ranking.gains > 0)
    return 1.0 / (int(ranks[0]) + 1) if len(ranks) else 0.0


def recall(ranking: Ranking, k: int | None) -> float:
    """The share of the relevant documents that were found."""
    return _share(_hits(ranking), len(ranking.ideal))


def precision(ranking: Ranking, k: int | None) -> float:
    """The share of the k first places that hold a relevant document; places left empty count as wrong."""
    return _share(_hits(ranking), len(ranking.gains) if k is None else k)


def success(ranking: Ranking, k: int | None) -> float:
    """1 if a relevant document was found, else 0."""
    return float(_hits(ranking) > 0)


def judged_share(ranking: Ranking, k: int | None) -> float:
    """The share of the documents found that have a judgement, of any grade."""
    return _share(int(ranking.judged.sum()), len(ranking.judged))


METRICS: dict[str, Metric] = {
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "recip_rank": reciprocal_rank,
    "recall": recall,
    "r": recall,
    "precision": precision,
    "hits": success,
    "success": success,
    "judged": judged_share,
}
"""A metric's name to its function; `@k` is added to it."""


def _discounted(gains: Grades) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def _hits(ranking: Ranking) -> int:
    return int(np.count_nonzero(ranking.gains > 0))


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
