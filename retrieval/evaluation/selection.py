"""Selection: one right answer, or several, among the candidates of each list (response selection, reranking sets)."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.evaluation.ranking import Evaluation, Metric, Ranking, mean_evaluation, parse_metric, recall

Values = NDArray[np.float64]

_AMONG = re.compile(r"r(\d{1,6})@(\d{1,6})", re.ASCII)
DEPTHS = (1, 2, 5)


def evaluate_selection(
    scores: Mapping[str, ArrayLike], labels: Mapping[str, Sequence[int]], metrics: Sequence[str] | None = None
) -> Evaluation:
    """Each metric of each list, from one score and one grade (0: wrong) a candidate; list ids are the keys.

    `r10@1` is R_10@1 of the response-selection literature (Lowe et al., 2015): the share of the right candidates that
    are among the first, every list having 10; all metrics of runs are known too. A list with nothing right, or nothing
    wrong, cannot be told apart and is left out (`unjudged`), as is usual for TREC QA.

    Among equal scores the wrong candidates come first, so that a model which cannot decide gains nothing.
    Mismatch when scores and grades are not of the same number; BadInput for a score that is not finite.
    """
    rankings: dict[str, Ranking] = {}
    for id, grades in labels.items():
        own = _checked(id, scores.get(id), grades)
        if 0 < sum(grade > 0 for grade in grades) < len(grades):
            rankings[id] = _ranking(own, grades)
    if not rankings:
        raise BadInput(f"None of the {len(labels)} lists holds both a right and a wrong candidate. Check the labels.")
    sizes = {len(ranking.gains) for ranking in rankings.values()}
    wanted = {name: _metric(name, sizes) for name in metrics or default_metrics(sizes)}
    return mean_evaluation(rankings, wanted, unjudged=tuple(id for id in labels if id not in rankings))


def default_metrics(sizes: set[int]) -> list[str]:
    """R_n@k where all lists have n candidates, else recall@1; then MRR and MAP."""
    size = next(iter(sizes))
    named = [f"r{size}@{k}" for k in DEPTHS if k < size] if len(sizes) == 1 else ["recall@1"]
    return [*named, "mrr", "map"]


def _metric(name: str, sizes: set[int]) -> tuple[Metric, int | None]:
    found = _AMONG.fullmatch(name.strip().lower())
    if found is None:
        return parse_metric(name)
    size, k = int(found[1]), int(found[2])
    if sizes != {size}:
        there = ", ".join(map(str, sorted(sizes)[:5]))
        raise BadInput(f"{name!r} is for lists of {size} candidates each; these have {there}. Use recall@{k} instead.")
    if not 0 < k <= size:
        raise BadInput(f"{name!r} asks for the first {k} of {size}. Give a k from 1 to {size}.")
    return recall, k


def _ranking(scores: Values, grades: Sequence[int]) -> Ranking:
    gains = np.array([max(grade, 0) for grade in grades], dtype=np.float64)
    order = np.lexsort((gains, -scores))
    ideal = -np.sort(-gains[gains > 0])
    return Ranking(gains[order], np.ones(len(gains), dtype=np.bool_), ideal)


def _checked(id: str, scores: ArrayLike | None, grades: Sequence[int]) -> Values:
    values = np.asarray([] if scores is None else scores, dtype=np.float64)
    if values.shape != (len(grades),):
        raise Mismatch(f"The list {id!r} has {len(grades)} candidates, but scores of shape {list(values.shape)}.")
    if not np.isfinite(values).all():
        raise BadInput(f"The list {id!r} has a score that is not finite. Check the model.")
    return values
