"""How systems are compared: test, interval, level, draws and seed, checked where they are given."""

from dataclasses import dataclass

from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.evaluation.significance.intervals import INTERVALS
from retr.retrieval.evaluation.significance.resampling import Draws
from retr.retrieval.evaluation.significance.testing import TESTS

FEWEST_SAMPLES, MOST_SAMPLES = 1_000, 10_000_000


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """A difference counts at `alpha` after correction; `power` is the chance wanted for the detectable difference."""

    test: str = "randomisation"
    interval: str = "expanded"
    alpha: float = 0.05
    samples: int = 100_000
    seed: int = 0
    power: float = 0.8

    def __post_init__(self) -> None:
        if self.test not in TESTS:
            raise unknown("test", self.test, TESTS)
        if self.interval not in INTERVALS:
            raise unknown("interval", self.interval, INTERVALS)
        for name, share in (("alpha", self.alpha), ("power", self.power)):
            if not 0 < share < 1:
                raise BadInput(f"{name} must lie between 0 and 1; got {share:g}. {_USUAL[name]} is usual.")
        if not FEWEST_SAMPLES <= self.samples <= MOST_SAMPLES:
            raise BadInput(f"samples must be from {FEWEST_SAMPLES:,} to {MOST_SAMPLES:,}; got {self.samples:,}.")
        if self.seed < 0:
            raise BadInput(f"seed must be at least 0; got {self.seed}.")

    @property
    def draws(self) -> Draws:
        """The random draws of tests and intervals."""
        return Draws(self.samples, self.seed)


_USUAL = {"alpha": 0.05, "power": 0.8}
