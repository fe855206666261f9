"""How work is gathered into batches, and how much of it may wait."""

from dataclasses import dataclass

from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Weights are tokens, or whatever the caller counts in.

    `batch` is the weight of one batch; `waiting` the weight that may wait before requests are refused; `wait_seconds`
    how long a batch that is not full waits for company while several requests come at a time; `workers` the threads.
    """

    batch: int = 16_384
    waiting: int = 524_288
    wait_seconds: float = 0.002
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("batch", "waiting", "workers"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; a batcher needs at least 1.")
        if not 0 <= self.wait_seconds <= 1:
            raise BadInput(f"wait_seconds is {self.wait_seconds}; give 0 to 1.")
