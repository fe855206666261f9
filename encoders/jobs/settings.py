"""What decides about a job's workers: where, how many, with what each."""

import os
from dataclasses import dataclass

from retr.retrieval.errors import BadInput

MOST_CPUS = 4
"""Cores of a worker for which nobody chose a number: more of them bring less each."""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Settings of a job by Ray.

    `address` is that of a cluster, HOST:PORT or `auto`; empty: what RAY_ADDRESS says, or a Ray of this process alone.
    `workers` are as many as fit, unless given; each has `worker_cpus` cores, or up to 4 that every machine has, and a
    GPU of its own where `device` (as RETR_DEVICE) is one. At most `queued` calls wait with a worker. A call that ends
    `tries` workers ends the job, and so do `start_seconds` without any worker.
    """

    address: str = ""
    workers: int | None = None
    worker_cpus: int | None = None
    device: str = ""
    queued: int = 2
    tries: int = 3
    start_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("workers", "worker_cpus", "queued", "tries"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(f"{name} is {value}; a job needs at least 1.")
        if not self.start_seconds > 0:
            raise BadInput(f"start_seconds is {self.start_seconds}; give a number above 0.")

    @property
    def asked_device(self) -> str:
        """The device that workers use: the one given, or else that of RETR_DEVICE."""
        return self.device or os.environ.get("RETR_DEVICE", "").strip()

    @property
    def asked_address(self) -> str:
        """The address given, or else that of RAY_ADDRESS; empty where there is none."""
        return self.address or os.environ.get("RAY_ADDRESS", "").strip()
