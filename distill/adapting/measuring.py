"""Before and after, over the same questions: on judgements, on agreement with a teacher, or on pseudo questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from retr.distill.adapting.settings import AdaptSettings
from retr.distill.labelling.teachers import Question, Teacher
from retr.index.collection import Collection
from retr.index.settings import SearchSettings
from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals
from retr.retrieval.evaluation.ranking import evaluate, parse_metric
from retr.retrieval.evaluation.searching import search_run
from retr.retrieval.evaluation.significance import CompareSettings, compare
from retr.retrieval.records import Hit, Query
from retr.retrieval.runs import Qrels

Kind = Literal["judged", "agreement", "pseudo"]
ABOUT: dict[Kind, str] = {
    "judged": "queries with relevance judgements, which adaptation never saw",
    "agreement": (
        "queries without judgements: the share of the teacher's best documents, of those that either encoder found, "
        "that an encoder has among its own best; agreement with the teacher, not relevance"
    ),
    "pseudo": (
        "pseudo questions: a sentence taken out of each document that was kept from training, which is to be found by "
        "it; no users' questions"
    ),
}
AGREE = 10
"""Best documents that are compared with the teacher's."""
DEPTH = 100

PerQuery = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked in the end: with judgements, or with a teacher to agree with."""

    kind: Kind
    queries: tuple[Query, ...]
    qrels: Qrels | None = None


def measure(
    before: Collection, after: Collection, asked: Questions, settings: AdaptSettings, teachers: Sequence[Teacher]
) -> dict[str, Any]:
    """Means with intervals, the paired difference with its interval and its p, and each question's values."""
    if asked.qrels is None:
        metric = f"teacher's best@{AGREE}"
        values = _agreement(before, after, asked.queries, teachers)
    else:
        metric = settings.metric
        values = {name: _judged(one, asked, metric) for name, one in (("before", before), ("after", after))}
    return {"kind": asked.kind, "about": ABOUT[asked.kind], "metric": metric, **_compared(values, metric, settings)}


def _compared(values: Mapping[str, PerQuery], metric: str, settings: AdaptSettings) -> dict[str, Any]:
    systems = {name: {metric: each} for name, each in values.items()}
    chosen = CompareSettings(alpha=settings.alpha, seed=settings.seed)
    (pair,) = compare(systems, settings=chosen).pairs
    ends = IntervalSettings(alpha=settings.alpha, seed=settings.seed)
    found: dict[str, Any] = {"queries": len(values["before"]), "level": 1 - settings.alpha}
    for name, each in values.items():
        low, high = mean_intervals({metric: each}, ends)[metric]
        found[name] = {"mean": float(np.mean(list(each.values()))), "low": low, "high": high}
    found["difference"] = {"mean": pair.difference, "low": pair.low, "high": pair.high, "p": pair.p}
    found |= {"wins": pair.wins, "ties": pair.ties, "losses": pair.losses}
    found["better"] = bool(pair.difference > 0 and pair.p <= settings.alpha)
    found["worse"] = bool(pair.difference < 0 and pair.p <= settings.alpha)
    return {**found, "values": {name: dict(each) for name, each in values.items()}}


def _judged(collection: Collection, asked: Questions, metric: str) -> PerQuery:
    assert asked.qrels is not None
    depth = max(parse_metric(metric)[1] or 1000, DEPTH)
    run = search_run(asked.queries, lambda texts: _found(collection, texts, depth))
    return evaluate(run, asked.qrels, [metric]).per_query[metric]


def _agreement(
    before: Collection, after: Collection, queries: Sequence[Query], teachers: Sequence[Teacher]
) -> dict[str, PerQuery]:
    """For each query the share of the teachers' best of both encoders' findings that each encoder has among its own.

    Teachers count alike: each gives a document its rank, and the mean of ranks decides.
    """
    texts = [query.text for query in queries]
    found = {name: _found(one, texts, AGREE) for name, one in (("before", before), ("after", after))}
    values: dict[str, dict[str, float]] = {name: {} for name in found}
    for place, query in enumerate(queries):
        pool = {hit.id: f"{hit.title} {hit.text}".strip() for hits in found.values() for hit in hits[place]}
        if not pool:
            continue
        best = set(_best(query.text, pool, teachers))
        for name, hits in found.items():
            values[name][query.id] = len(best & {hit.id for hit in hits[place]}) / len(best)
    return dict(values)


def _best(query: str, pool: Mapping[str, str], teachers: Sequence[Teacher]) -> list[str]:
    ranks = np.zeros(len(pool))
    for teacher in teachers:
        (scores,) = teacher.answer([Question(query, tuple(pool.values()))])
        ranks += np.argsort(np.argsort(-scores[:, 0], kind="stable"), kind="stable")
    ids = list(pool)
    return [ids[place] for place in np.argsort(ranks, kind="stable")[:AGREE]]


def _found(collection: Collection, texts: Sequence[str], depth: int) -> list[list[Hit]]:
    return collection.search_many(texts, depth, settings=SearchSettings(mode="dense", exact=True))
