"""Losses over log-probabilities: the positive is to be likelier than a negative, more so than before training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid

PreferenceLoss = Literal["sigmoid", "hinge", "ipo", "kto"]


@dataclass(frozen=True, slots=True)
class Gains:
    """Float [pairs] each: log P less the reference's, of the better and of the worse text. `ipo` has means a token."""

    better: Tensor
    worse: Tensor

    @property
    def lead(self) -> Tensor:
        """How much more the better one gained."""
        return self.better - self.worse


def sigmoid_loss(gains: Gains, beta: float, smoothing: float) -> Tensor:
    """-(1 - e) log sigmoid(beta lead) - e log sigmoid(-beta lead) (Rafailov et al. 2023, DPO, eq. 7)."""
    lead = beta * gains.lead
    return -(1 - smoothing) * logsigmoid(lead) - smoothing * logsigmoid(-lead)


def hinge_loss(gains: Gains, beta: float, smoothing: float) -> Tensor:
    """max(0, 1 - beta lead) (Zhao et al. 2023, SLiC)."""
    return (1 - beta * gains.lead).clamp(min=0)


def ipo_loss(gains: Gains, beta: float, smoothing: float) -> Tensor:
    """(lead - 1 / (2 beta))^2 of means a token (Azar et al. 2023, IPO, eq. 17)."""
    return (gains.lead - 1 / (2 * beta)).square()


def kto_loss(gains: Gains, beta: float, smoothing: float) -> Tensor:
    """The mean of 1 - sigmoid(beta (better - KL of worse)) and 1 - sigmoid(beta (KL of better - worse)).

    The KLs are the batch's mean gains, at least 0, and let no gradient through (Ethayarajh et al. 2024, KTO, eq. 8).
    """
    of_better, of_worse = (part.mean().clamp(min=0).detach() for part in (gains.better, gains.worse))
    first = 1 - (beta * (gains.better - of_worse)).sigmoid()
    second = 1 - (beta * (of_better - gains.worse)).sigmoid()
    return (first + second) / 2


LOSSES: dict[str, Callable[[Gains, float, float], Tensor]] = {
    "sigmoid": sigmoid_loss,
    "hinge": hinge_loss,
    "ipo": ipo_loss,
    "kto": kto_loss,
}
"""A loss's name to (gains, beta, label smoothing) -> float [pairs]."""
