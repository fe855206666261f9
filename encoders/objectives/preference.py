"""Generation objectives over a row's texts: the positive learned (SFT), or preferred to the negatives (DPO and kin)."""

from dataclasses import dataclass, field
from typing import get_args

import torch
from torch import Tensor

from retr.encoders.objectives.checks import negatives_of, positive
from retr.encoders.objectives.generating import Generating, generating
from retr.encoders.objectives.preference_losses import LOSSES, Gains, PreferenceLoss
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput

Likely = tuple[Tensor, Tensor]
"""Float [candidates of all rows], log P after the row's query, and how many tokens each has."""


@dataclass(frozen=True, slots=True)
class SFT:
    """-log P of a positive's tokens after its query, the mean over the batch's (Man et al. 2024, ULLME, section 3)."""

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over tokens; what stands before the positive does not count."""
        sums, counts = generating(student, "sft").log_probs(batch.queries, batch.positives)
        return -sums.sum() / counts.sum()


@dataclass(frozen=True, slots=True)
class PreferenceSettings:
    """Which preference, how sharp, and against what.

    `loss` is sigmoid (DPO), hinge, ipo or kto. Without `reference_free` gains are counted from the model as it was.
    CPO (Xu et al. 2024) is sigmoid with `reference_free` and an `nll_weight` of 1: -log P a token of the positive is
    added by that weight. `smoothing` is the share of preferences that are taken to be wrong, for sigmoid alone.
    """

    loss: PreferenceLoss = "sigmoid"
    beta: float = 0.1
    smoothing: float = 0.0
    reference_free: bool = False
    nll_weight: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings out of their range."""
        if self.loss not in LOSSES:
            raise BadInput(f"loss is {', '.join(get_args(PreferenceLoss))}; got {self.loss!r}.")
        positive(beta=self.beta)
        if not 0 <= self.smoothing < 0.5:
            raise BadInput(f"smoothing is {self.smoothing}; give a number from 0 to below 0.5.")
        if self.nll_weight < 0:
            raise BadInput(f"nll_weight is {self.nll_weight}; give a number of at least 0.")
        if self.reference_free and self.loss == "kto":
            raise BadInput("kto counts gains from a reference; it cannot be reference_free.")

    def of(self, found: Likely, reference: Likely | None, batch: Batch) -> Tensor:
        """The mean over pairs of a positive and a negative of its row."""
        sums = found[0] if reference is None else found[0] - reference[0]
        values = sums / found[1] if self.loss == "ipo" else sums
        better, worse = pair_places(batch)
        gains = Gains(values[better], values[worse])
        loss = LOSSES[self.loss](gains, self.beta, self.smoothing).mean()
        if self.nll_weight:
            first = torch.tensor(first_places(batch), device=sums.device)
            loss = loss - self.nll_weight * found[0][first].sum() / found[1][first].sum()
        return loss


@dataclass(frozen=True, slots=True)
class Preference:
    """The positive against each negative of its row, by how likely they are after the query (Rafailov et al. 2023)."""

    preference: PreferenceSettings = field(default_factory=PreferenceSettings)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over all pairs of all rows."""
        negatives_of(batch, "preference")
        writer = generating(student, "preference")
        found = likely(writer, batch)
        reference = None if self.preference.reference_free else likely_before(writer, batch)
        return self.preference.of(found, reference, batch)


def likely(writer: Generating, batch: Batch) -> Likely:
    """Of every candidate after its query, row by row, positives first; with gradients."""
    return writer.log_probs(*_asked(batch))


def likely_before(writer: Generating, batch: Batch) -> Likely:
    """The same by the model as it was before training."""
    return writer.reference_log_probs(*_asked(batch))


def first_places(batch: Batch) -> list[int]:
    """Where each row's positive stands among all candidates."""
    places, at = [], 0
    for texts in batch.candidates:
        places.append(at)
        at += len(texts)
    return places


def pair_places(batch: Batch) -> tuple[list[int], list[int]]:
    """Where the better and the worse text of each pair stand among all candidates."""
    rows = list(zip(first_places(batch), batch.candidates, strict=True))
    better = [at for at, texts in rows for _ in texts[1:]]
    worse = [at + number for at, texts in rows for number in range(1, len(texts))]
    return better, worse


def _asked(batch: Batch) -> tuple[list[str], list[str]]:
    rows = list(zip(batch.queries, batch.candidates, strict=True))
    return [query for query, texts in rows for _ in texts], [text for _, texts in rows for text in texts]
