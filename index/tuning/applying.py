"""The chosen settings written into a collection, and what it then does measured again on the held-out queries."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from retr.index.collection import Collection
from retr.index.hits import Near
from retr.index.tuning.choosing import Choice, choose
from retr.index.tuning.measuring import Report
from retr.index.tuning.running import Tuning
from retr.index.tuning.sampling import Questions
from retr.retrieval.embeddings import Floats

MOST_REBUILDS = 3
"""A collection that still misses the target after so many rebuilds is searched exactly."""
_DEEPER = 10


@dataclass(frozen=True, slots=True)
class Served:
    """What whole documents are found through `Collection.nearest`, and how fast, one query at a time."""

    recall: float
    median_ms: float
    p95_ms: float
    queries: int


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """The candidate and settings as written, what the collection did before and does now, and what was undone."""

    name: str
    settings: dict[str, Any]
    generation: int
    before: Served
    after: Served
    undone: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "settings": self.settings,
            "generation": self.generation,
            "before": _rounded(self.before),
            "after": _rounded(self.after),
            "undone": list(self.undone),
        }


def _rounded(served: Served) -> dict[str, float]:
    return {name: round(value, 6) for name, value in asdict(served).items()}


def apply(
    collection: Collection, tuning: Tuning, *, wait_seconds: float = 60.0, report: Report = lambda line: None
) -> Applied:
    """Rebuild the collection with the choice, by `compact`, and measure it on the checking queries.

    Where all vectors together miss the target that the sample met, the next more accurate setting is built, and after
    a few of those the exact one.
    """
    check = ServedCheck(collection, tuning.checking, tuning.settings.k)
    before = check.measure(collection)
    choice, undone = tuning.choice, list[str]()
    with _originals(collection, tuning, wait_seconds) as restore:
        while True:
            candidate = tuning.candidate_of(choice.point)
            report(f"rebuilding as {candidate.name}")
            wanted = candidate.settings(collection.manifest.dense, recall=tuning.settings.recall)
            collection.compact(dense=wanted, wait_seconds=wait_seconds)
            after = check.measure(collection)
            if after.recall >= tuning.settings.recall or choice.fallback:
                break
            report(f"the recall of the whole index is {after.recall:.4f}, below the target")
            undone.append(candidate.name)
            choice = _next(tuning, choice, len(undone))
            restore()
    collection.compact(wait_seconds=wait_seconds)
    generation, settings = collection.manifest.generation, asdict(collection.manifest.dense)
    return Applied(candidate.name, settings, generation, before, after, tuple(undone))


def _next(tuning: Tuning, choice: Choice, undone: int) -> Choice:
    points = () if undone >= MOST_REBUILDS else tuning.candidates
    settings = tuning.settings
    return choose(points, tuning.exact, settings.recall, seed=settings.seed, above=choice.point.recall)


@contextmanager
def _originals(collection: Collection, tuning: Tuning, wait_seconds: float) -> Iterator[Callable[[], None]]:
    """Keeps the present generation, under a name, while a smaller storage may be tried; gives what brings it back."""
    if set(tuning.settings.storages) <= {tuning.exact.candidate.storage}:
        yield lambda: None
        return
    name = f"tune-{collection.manifest.generation}"
    if name in {pin.name for pin in collection.snapshots()}:  # A run that was killed left it.
        collection.drop_snapshot(name, wait_seconds=wait_seconds)
    collection.snapshot(name, wait_seconds=wait_seconds)
    try:
        yield lambda: _restore(collection, name, wait_seconds)
    finally:
        collection.drop_snapshot(name, wait_seconds=wait_seconds)


def _restore(collection: Collection, name: str, wait_seconds: float) -> None:
    collection.rollback(name, wait_seconds=wait_seconds)


class ServedCheck:
    """Queries with the exact answers of the collection as it was before anything was rebuilt."""

    def __init__(self, collection: Collection, questions: Questions, k: int) -> None:
        self._values, self._own, self._k = _as_given(collection, questions.values), questions.own, k
        answers = collection.nearest(self._values, k + 1 + _DEEPER, exact=True)
        self._good = [self._as_good(found, own) for found, own in zip(answers, self._own, strict=True)]

    def _as_good(self, found: Sequence[Near], own: str) -> tuple[set[str], int]:
        """The ids that belong to the exact top k, its ties included, and how many make it full."""
        others = [one for one in found if one.id != own]
        wanted = min(self._k, len(others))
        edge = others[wanted - 1].score if wanted else 0.0
        return {one.id for one in others if one.score >= edge - 1e-6 * max(1.0, abs(edge))}, wanted

    def measure(self, collection: Collection) -> Served:
        """Recall of the queries, each asked alone, and the time of each."""
        recalls, clock = np.ones(len(self._values)), np.empty(len(self._values))
        collection.nearest(self._values[:1], self._k + 1)
        for number, ((good, wanted), own) in enumerate(zip(self._good, self._own, strict=True)):
            started = time.perf_counter()
            found = collection.nearest(self._values[number], self._k + (own != ""))[0]
            clock[number] = time.perf_counter() - started
            hits = [one.id for one in found if one.id != own][: self._k]
            if wanted:
                recalls[number] = min(1.0, len(good.intersection(hits)) / wanted)
        median, slow = np.quantile(clock * 1000, [0.5, 0.95])
        return Served(float(recalls.mean()), float(median), float(slow), len(clock))


def _as_given(collection: Collection, values: Floats) -> Floats:
    """Stored vectors in the length that `nearest` takes: where it cuts them again, zeros stand for what was cut."""
    facts = collection.manifest.encoder
    assert facts is not None
    return np.pad(values, ((0, 0), (0, facts.dim - values.shape[1])))
