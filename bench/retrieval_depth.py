"""TREC DL 2019: what the cross-encoder makes of other candidates than BM25's first 100, and what could be made of them.

The 1,000 candidates that the published figure was measured with are not among the data. What is: the first 100 of six
runs, so that the list can be made shorter, and longer by those passages of the other runs that BM25 would come to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from retrieval_lucene import beyond, score_at
from retrieval_sets import Loaded, data_root, given_run
from scoring import difference, per_query

from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals
from retr.retrieval.evaluation.searching import rerank_run
from retr.retrieval.protocols import Scorer
from retr.retrieval.runs import Run, ranked

RUNS = ("bm25", "bm25-rm3", "tasb", "splade-pp-ed", "openai-ada2", "repllama")
DEPTHS = tuple(range(10, 101, 10))
FAR = 1000
RELEVANT = 2
METRIC = "ndcg@10"
POWERS = np.arange(0.05, 3.0, 0.05)
DRAWS = 10_000
Lists = Mapping[str, Sequence[str]]
Values = Mapping[str, float]


def explained(data: Loaded, scorer: Scorer, seed: int) -> dict[str, Any]:
    """A row a list of candidates, the curve's extrapolation, and how well BM25's other scores are known."""
    lists, residuals = candidates(data)
    values = {
        name: per_query(reranked(chosen, data, scorer), data.qrels.grades, [METRIC])[METRIC]
        for name, chosen in lists.items()
    }
    base = values[first(DEPTHS[-1])]
    curve = [[values[first(depth)][query] for query in sorted(base)] for depth in DEPTHS]
    return {
        "rows": [{"candidates": name, **row_of(lists[name], values[name], base, data, seed)} for name in lists],
        "far": FAR,
        "extrapolated": extrapolated(np.array(curve), seed),
        "residual": {"mean": float(np.mean(residuals)), "largest": float(np.max(residuals))},
    }


def first(depth: int) -> str:
    """The name of BM25's list at that depth."""
    return f"BM25, the first {depth:,}"


def candidates(data: Loaded) -> tuple[dict[str, Lists], list[float]]:
    """The lists to rerank, by name, and the residuals of the fitted BM25 scores, a query each."""
    runs = {name: given_run(data_root() / "msmarco-dl19" / "runs" / f"{name}.top100.tsv").scores for name in RUNS}
    given = {query: ranked(scores) for query, scores in runs["bm25"].items()}
    far: dict[str, list[str]] = {}
    reached: dict[str, list[str]] = {}
    residuals = []
    for query in data.queries:
        known = sorted(set().union(*(run[query.id] for run in runs.values())))
        texts = {id: mended(data.documents[id].text) for id in known}
        scores, found = beyond(query.text, runs["bm25"][query.id], texts)
        least = score_at(FAR, list(runs["bm25"][query.id].values()))
        far[query.id] = [*given[query.id], *(id for id, score in scores.items() if score >= least)]
        reached[query.id] = [*given[query.id], *(id for id, score in scores.items() if score > 0)]
        residuals.append(found.residual)
    lists: dict[str, Lists] = {first(depth): {query: ids[:depth] for query, ids in given.items()} for depth in DEPTHS}
    lists[f"{first(FAR)} as far as known (estimate)"] = far
    lists["BM25 without an end, as far as known"] = reached
    lists |= {f"{name}, the first 100": {query: list(ids) for query, ids in runs[name].items()} for name in RUNS[1:]}
    lists["what any of the six runs holds"] = {
        query: sorted(set().union(*(run[query] for run in runs.values()))) for query in given
    }
    return lists, residuals


def reranked(lists: Lists, data: Loaded, scorer: Scorer) -> Mapping[str, Mapping[str, float]]:
    """The scorer's order of each list."""
    run = Run({query: dict.fromkeys(ids, 0.0) for query, ids in lists.items()})
    return rerank_run(run, data.queries, data.documents, scorer).scores


def row_of(lists: Lists, values: Values, base: Values, data: Loaded, seed: int) -> dict[str, Any]:
    """Sizes, what is relevant among them, the best order's figure, the scorer's, its distance from the first 100."""
    grades = data.qrels.grades
    relevant = {query: {id for id, grade in found.items() if grade >= RELEVANT} for query, found in grades.items()}
    best = {query: {id: float(grades[query].get(id, 0)) for id in ids} for query, ids in lists.items()}
    low, high = mean_intervals({METRIC: values}, IntervalSettings(seed=seed))[METRIC]
    return {
        "passages": float(np.mean([len(ids) for ids in lists.values()])),
        "relevant": float(
            np.mean([len(relevant[query] & set(ids)) / len(relevant[query]) for query, ids in lists.items()])
        ),
        "best": float(np.mean(list(per_query(best, grades, [METRIC])[METRIC].values()))),
        "mean": float(np.mean(list(values.values()))),
        "low": low,
        "high": high,
        "against_100": dict(zip(("difference", "low", "high"), difference(values, base, seed=seed), strict=True)),
    }


def extrapolated(curve: NDArray[np.float64], seed: int) -> dict[str, float]:
    """a - b · depth^-c, fitted to the means at DEPTHS, at FAR; with the interval of queries drawn again.

    curve: [depths, queries]. For each power c least squares give a and b; the power with the least residual is taken.
    """
    depths = np.array(DEPTHS, np.float64)
    drawn = np.random.default_rng(seed).integers(0, curve.shape[1], size=(DRAWS, curve.shape[1]))
    means = np.vstack([curve.mean(axis=1), curve[:, drawn].mean(axis=2).T])
    errors, ends = [], []
    for power in POWERS:
        shape = np.stack([np.ones_like(depths), -(depths**-power)], axis=1)
        solved = means @ np.linalg.pinv(shape).T
        errors.append(((means - solved @ shape.T) ** 2).sum(axis=1))
        ends.append(solved @ np.array([1.0, -(float(FAR) ** -power)]))
    at = np.argmin(errors, axis=0)
    found = np.array(ends)[at, np.arange(len(at))]
    low, high = np.quantile(found[1:], [0.025, 0.975])
    return {"value": float(found[0]), "low": float(low), "high": float(high), "power": float(POWERS[at[0]])}


def mended(text: str) -> str:
    """UTF-8 that was once read as Latin-1, put right where that is what happened."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
