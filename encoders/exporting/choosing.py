"""Which parts of an int8 network stay in float: the fewest that bring it near enough, the most harmful first."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from retr.encoders.exporting.settings import Bounds
from retr.encoders.exporting.texts import choosing_half
from retr.retrieval.embeddings import Floats

MARGIN = 0.2
"""The choice leaves this share of the allowed error unused, for texts that took no part in it."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What the choice is made on: the units that may stay in float, and the original's outputs.

    `outputs` gives those of the int8 network with the kept units, as retr runs it and as the file is; the second may be
    left out where it is told to be quick. `loss` says how bad the figures of `compare` are.
    """

    units: Sequence[str]
    exact: Floats
    outputs: Callable[[Collection[str], bool], list[Floats]]
    compare: Callable[[Floats, Floats], dict[str, float]]
    loss: Callable[[dict[str, float]], float]

    def measure(self, kept: Collection[str]) -> dict[str, float]:
        """The worst figures on half of the texts, quickly."""
        return self._worst(self.outputs(kept, True), choosing_half(len(self.exact)))

    def within(self, kept: Collection[str], bounds: Bounds) -> bool:
        """Whether half of the texts are within bounds by a margin, and all of them within bounds."""
        found, rows = self.outputs(kept, False), choosing_half(len(self.exact))
        half = _tightened(bounds).broken(self._worst(found, rows))
        return not half and not bounds.broken(self._worst(found, range(len(self.exact))))

    def _worst(self, found: list[Floats], rows: Sequence[int]) -> dict[str, float]:
        return max((self.compare(one[rows], self.exact[rows]) for one in found), key=self.loss)


def choose_kept(trial: Trial, bounds: Bounds, report: Callable[[str], None]) -> tuple[str, ...]:
    """The units to keep in float. Nothing is measured one by one when all of them may be int8.

    Otherwise each unit is quantised alone on half of the texts, and the unit with the greatest loss is kept, then the
    next, until that half is within bounds by a margin, and within bounds the other half, which had no say in the order.
    """
    units = trial.units
    if trial.within((), bounds):
        return ()
    losses = {}
    for unit in units:
        losses[unit] = trial.loss(trial.measure([other for other in units if other != unit]))
        report(f"{unit} alone in int8 loses {losses[unit]:.6f}")
    order = sorted(units, key=lambda unit: -losses[unit])
    for count in range(1, len(order)):
        if trial.within(order[:count], bounds):
            return tuple(sorted(order[:count]))
    return tuple(sorted(order))


def _tightened(bounds: Bounds) -> Bounds:
    """The bounds of the figures that the choice is made by, with the margin taken off."""
    return replace(
        bounds,
        mean_cosine=1 - (1 - bounds.mean_cosine) * (1 - MARGIN),
        worst_cosine=1 - (1 - bounds.worst_cosine) * (1 - MARGIN),
        score_error=bounds.score_error * (1 - MARGIN),
    )
