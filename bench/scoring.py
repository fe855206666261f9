"""Quality of answers by retr's own metrics, and paired bootstrap intervals between two systems."""

from collections.abc import Mapping, Sequence

import numpy as np

from retr.retrieval.evaluation.ranking import evaluate
from retr.retrieval.runs import Qrels, Run

Answers = Mapping[str, Mapping[str, float]]
Judgements = Mapping[str, Mapping[str, int]]
RESAMPLES = 10_000


def per_query(answers: Answers, qrels: Judgements, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """{metric: {query: value}} over every judged query; a query without an answer counts as 0."""
    found = evaluate(Run(answers), Qrels(qrels), metrics)
    return {metric: dict(found.per_query[metric]) for metric in metrics}


def means(answers: Answers, qrels: Judgements, metrics: Sequence[str]) -> dict[str, float]:
    """{metric: mean}."""
    return {
        metric: float(np.mean(list(values.values()))) for metric, values in per_query(answers, qrels, metrics).items()
    }


def difference(one: Mapping[str, float], other: Mapping[str, float], *, seed: int) -> tuple[float, float, float]:
    """Mean of `one - other` over the same queries, with a 95% percentile interval from resampled queries."""
    if one.keys() != other.keys():
        raise ValueError("A paired bootstrap needs the same queries on both sides.")
    deltas = np.array([one[query] - other[query] for query in sorted(one)])
    drawn = np.random.default_rng(seed).integers(0, len(deltas), size=(RESAMPLES, len(deltas)))
    low, high = np.percentile(deltas[drawn].mean(axis=1), [2.5, 97.5])
    return float(deltas.mean()), float(low), float(high)
