"""Pairs of texts: correlation with people's scores, or telling two classes apart."""

from typing import TYPE_CHECKING, Any

from retr.cli.evaluating.asked import Asked, no_metric
from retr.cli.evaluating.models import model_of, name_of
from retr.cli.evaluating.showing import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retr.retrieval.evaluation.bootstrap import Statistic
    from retr.retrieval.evaluation.reading.pairs import Pairs

_CLASS_METRICS = ("auc", "ap", "f1", "accuracy")


def results(asked: Asked) -> list[Result]:
    """One model's figures over all pairs."""
    from retr.retrieval.evaluation.reading.pairs import read_pairs

    no_metric(asked, "Spearman and Pearson for scores, AUC, AP, F1 and accuracy for classes")
    columns = None if asked.columns is None else [name.strip() for name in asked.columns.split(",")]
    pairs = read_pairs(asked.pairs, task=_task(asked), columns=columns)
    scores = _scores(asked, pairs)
    return [_similarity(asked, pairs, scores) if pairs.task == "sts" else _classes(asked, pairs, scores)]


def _task(asked: Asked) -> Any:
    return asked.task if asked.task in ("sts", "pairs") else None


def _scores(asked: Asked, pairs: "Pairs") -> "NDArray[np.float64]":
    from retr.cli.progress import Progress
    from retr.retrieval.evaluation.matching import pair_scores, scorer_pair_scores

    encoder, scorer, similarity = model_of(asked)
    if scorer is not None:
        with Progress("scored", total=len(pairs), unit="pairs", quiet=asked.quiet) as progress:
            return scorer_pair_scores(scorer, pairs.left, pairs.right, watch=progress.advance)
    assert encoder is not None
    total = len({*pairs.left, *pairs.right})
    with Progress("encoded", total=total, unit="texts", quiet=asked.quiet) as progress:
        return pair_scores(encoder, pairs.left, pairs.right, similarity=similarity, watch=progress.advance)


def _similarity(asked: Asked, pairs: "Pairs", scores: "NDArray[np.float64]") -> Result:
    from retr.retrieval.evaluation.similarity import CORRELATIONS, evaluate_similarity

    found = evaluate_similarity(scores, pairs.values)
    per_query = {name: dict(zip(pairs.ids, map(float, parts), strict=True)) for name, parts in found.parts.items()}
    return _result(asked, pairs, scores, found.means, CORRELATIONS, per_query=per_query, facts={"task": "sts"})


def _classes(asked: Asked, pairs: "Pairs", scores: "NDArray[np.float64]") -> Result:
    from retr.retrieval.evaluation.pairs import CLASSIFIERS, evaluate_pairs

    found = evaluate_pairs(scores, pairs.values)
    facts = {
        "task": "pairs",
        "positives": found.positives,
        "f1_threshold": found.f1_threshold,
        "accuracy_threshold": found.accuracy_threshold,
    }
    means = {name: getattr(found, name) for name in _CLASS_METRICS}

    def of_classes(name: str) -> "Statistic":
        return lambda values, gold: CLASSIFIERS[name](values, gold > 0)

    return _result(
        asked, pairs, scores, means, {name: of_classes(name) for name in CLASSIFIERS}, per_query={}, facts=facts
    )


def _result(
    asked: Asked,
    pairs: "Pairs",
    scores: "NDArray[np.float64]",
    means: Any,
    statistics: Any,
    *,
    per_query: Any,
    facts: dict[str, Any],
) -> Result:
    import numpy as np

    from retr.retrieval.evaluation.bootstrap import statistic_intervals

    gold = np.array(pairs.values, dtype=np.float64)
    return Result(
        name_of(asked),
        means,
        {"pairs": len(pairs)},
        per_query,
        lambda settings: statistic_intervals(statistics, scores, gold, settings),
        facts,
    )
