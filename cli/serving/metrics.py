"""What a server counts, in Prometheus' text format; with several workers, their sums."""

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from retr.encoders.batching.batcher import Batch

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which the client library shares counts between processes; the supervisor sets it."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WEIGHTS = (1, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144)


class Metrics:
    """Counts of one worker."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("retr_requests", "Requests answered.", ("path", "method", "status"), registry=registry)
        self.seconds = Histogram(
            "retr_request_seconds", "From the headers to the end of the answer.", ("path",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "retr_requests_in_flight", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self.refused = Counter("retr_refused", "Requests refused before any work.", ("code",), registry=registry)
        self.waiting = Gauge(
            "retr_queue_weight", "Tokens (of search: requests) that wait.", ("queue",),
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self.batch_weight = Histogram(
            "retr_batch_weight", "Tokens (of search: requests) of a batch.", ("queue",),
            buckets=WEIGHTS, registry=registry,
        )  # fmt: skip
        self.batch_requests = Histogram(
            "retr_batch_requests", "Requests that shared a batch.", ("queue",),
            buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=registry,
        )  # fmt: skip
        self.queue_seconds = Histogram(
            "retr_queue_seconds", "How long the oldest of a batch waited.", ("queue",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.run_seconds = Histogram(
            "retr_run_seconds", "How long a batch ran.", ("queue",), buckets=SECONDS, registry=registry
        )
        self.generation = Gauge(
            "retr_index_generation", "The index's generation that is served.",
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self.documents = Gauge(
            "retr_index_documents", "Documents of that generation.", registry=registry, multiprocess_mode="livemax"
        )

    def saw(self, queue: str, batch: Batch) -> None:
        """Count a batch of a queue."""
        self.batch_weight.labels(queue).observe(batch.weight)
        self.batch_requests.labels(queue).observe(batch.requests)
        self.queue_seconds.labels(queue).observe(batch.waited_seconds)
        self.run_seconds.labels(queue).observe(batch.ran_seconds)

    def text(self) -> bytes:
        """All counts; of all workers, where there are several."""
        if not os.environ.get(MULTIPROCESS):
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
