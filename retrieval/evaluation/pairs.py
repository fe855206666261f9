"""Pair classification: do scores tell the pairs that belong together from those that do not (AUC, AP, F1, accuracy)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.evaluation.similarity import average_ranks

Values = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Classification:
    """How well one threshold on the scores separates the two classes, and how well any does.

    `auc` is the area under the ROC curve, `ap` the average precision. `f1` and `accuracy` are the best over all
    thresholds, reached by calling a pair positive whose score is at least `f1_threshold` or `accuracy_threshold`;
    `precision` and `recall` are those at `f1_threshold`. A threshold chosen on the very pairs that it is measured on
    flatters a model, so compare models, not this figure with one whose threshold was chosen elsewhere.
    """

    auc: float
    ap: float
    f1: float
    accuracy: float
    precision: float
    recall: float
    f1_threshold: float
    accuracy_threshold: float
    pairs: int
    positives: int


def evaluate_pairs(scores: ArrayLike, labels: ArrayLike) -> Classification:
    """From one score [pairs], higher for pairs that belong together, and whether they do [pairs].

    Equal scores count as scikit-learn counts them: half a win in the AUC, one step of the precision-recall curve.
    Mismatch for different lengths; BadInput for a score that is not finite, or when one of the classes is empty.
    """
    values, positive = _checked(scores, labels)
    steps = _steps(values, positive)
    best_f1, best_accuracy = int(np.argmax(steps.f1)), int(np.argmax(steps.accuracy))
    return Classification(
        auc=auc(values, positive),
        ap=steps.average_precision,
        f1=float(steps.f1[best_f1]),
        accuracy=float(steps.accuracy[best_accuracy]),
        precision=float(steps.precision[best_f1]),
        recall=float(steps.recall[best_f1]),
        f1_threshold=float(steps.thresholds[best_f1]),
        accuracy_threshold=float(steps.thresholds[best_accuracy]),
        pairs=len(values),
        positives=int(positive.sum()),
    )


def auc(scores: Values, positive: Labels) -> float:
    """The chance that a positive scores above a negative, ties half (Mann-Whitney's U over all pairings)."""
    count = int(positive.sum())
    others = len(positive) - count
    above = average_ranks(scores)[positive].sum() - count * (count + 1) / 2
    return float(above / (count * others)) if count and others else float("nan")


def average_precision(scores: Values, positive: Labels) -> float:
    """Precision at each distinct score, weighted by the recall that it adds; NaN without a positive."""
    return _steps(scores, positive).average_precision if positive.any() else float("nan")


def best_f1(scores: Values, positive: Labels) -> float:
    """The largest harmonic mean of precision and recall that a threshold reaches; NaN without a positive."""
    return float(_steps(scores, positive).f1.max()) if positive.any() else float("nan")


def best_accuracy(scores: Values, positive: Labels) -> float:
    """The largest share of pairs that a threshold puts right."""
    return float(_steps(scores, positive).accuracy.max())


CLASSIFIERS: dict[str, Callable[[Values, Labels], float]] = {
    "auc": auc,
    "ap": average_precision,
    "f1": best_f1,
    "accuracy": best_accuracy,
}
"""A metric's name to its function of scores and classes."""


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """What each threshold gives, falling: first one above all scores, then each distinct score."""

    thresholds: Values
    precision: Values
    recall: Values
    f1: Values
    accuracy: Values

    @property
    def average_precision(self) -> float:
        return float((np.diff(self.recall) * self.precision[1:]).sum())


def _steps(scores: Values, positive: Labels) -> _Steps:
    order = np.argsort(-scores, kind="stable")
    falling, hits = scores[order], np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # The last of each run of equal scores.
    accepted, right = np.append(0, last + 1), np.append(0, hits[last])
    total = int(hits[-1])
    wrongly_refused = total - right
    wrong = (accepted - right) + wrongly_refused
    return _Steps(
        thresholds=np.append(np.nextafter(falling[0], np.inf), falling[last]),
        precision=right / np.maximum(accepted, 1),
        recall=right / max(total, 1),
        f1=2 * right / np.maximum(accepted + total, 1),
        accuracy=1 - wrong / len(scores),
    )


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Values, Labels]:
    values, classes = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != classes.shape:
        raise Mismatch(
            f"The scores have the shape {list(values.shape)}, the labels {list(classes.shape)}; one a pair is needed."
        )
    if not np.isfinite(values).all():
        worst = int(np.argmin(np.isfinite(values)))
        raise BadInput(f"The score of pair {worst + 1} is {values[worst]}; only finite scores can be compared.")
    if not np.isin(classes, (0, 1)).all():
        raise BadInput("A label is neither 0 nor 1. Pair classification knows two classes.")
    positive = classes.astype(np.bool_)
    if not positive.any() or positive.all():
        raise BadInput(
            f"All {len(positive)} pairs have the label {int(positive.any())}; both classes are needed to compare them."
        )
    return values, positive
