"""What every objective refuses: settings out of range, and batches without what it needs."""

from collections.abc import Sequence
from math import inf, isfinite

from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


def positive(**values: float) -> None:
    """BadInput for a setting that is not above zero, or not finite."""
    for name, value in values.items():
        if not (isfinite(value) and value > 0):
            raise BadInput(f"{name} is {value}; give a number above 0.")


def labels_of(batch: Batch, name: str, lowest: float = -inf, highest: float = inf) -> Sequence[float]:
    """The batch's grades; BadInput without, or for one that is out of range."""
    if batch.labels is None:
        raise BadInput(
            f"The objective {name} needs a grade for each pair, and the data has none. Name its column: label."
        )
    for label in batch.labels:
        if not lowest <= label <= highest:
            raise BadInput(
                f"The objective {name} takes labels from {lowest:g} to {highest:g}; one is {label:g}. Scale them."
            )
    return batch.labels


def scores_of(batch: Batch, name: str) -> Sequence[Sequence[float]]:
    """The teacher's scores; BadInput without."""
    if batch.scores is None:
        raise BadInput(
            f"The objective {name} needs a score for each candidate, and the data has none. Name its column: scores."
        )
    return batch.scores


def negatives_of(batch: Batch, name: str) -> Sequence[Sequence[str]]:
    """The negatives; BadInput where a row has none."""
    if not batch.negatives or not all(batch.negatives):
        raise BadInput(
            f"The objective {name} needs negatives in every row, and one has none. Mine some, or name their column."
        )
    return batch.negatives
