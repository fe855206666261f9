"""The whole of a tuning: draw a sample, measure every kind on it, choose, and say what is promised."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.snapshot import Snapshot, open_snapshot
from retr.index.tuning.candidates import Candidate
from retr.index.tuning.choosing import CONFIDENCE, Choice, choose, frontier
from retr.index.tuning.measuring import Report, Trial, build_part, exact_point, measure_kind
from retr.index.tuning.points import Point
from retr.index.tuning.sampling import Questions, blocks, draw, given, held_out
from retr.index.tuning.settings import TuneSettings
from retr.index.writing.stored import stored
from retr.retrieval.embeddings import Floats, Vectors

_AROUND, _NARROWEST = 4, 0.01
"""What is shown begins so many times as far below 1 as the target is, which is taken to be a hundredth at least."""


@dataclass(frozen=True, eq=False)
class Tuning:
    """What was measured on `sampled` of `rows` living vectors, and the choice. `skipped` says what was not, and why."""

    settings: TuneSettings
    dim: int
    rows: int
    sampled: int
    choosing: int
    checking: Questions
    source: str
    points: tuple[Point, ...]
    exact: Point
    skipped: tuple[str, ...]

    @cached_property
    def choice(self) -> Choice:
        """What is promised, and by which point."""
        return choose(self.candidates, self.exact, self.settings.recall, seed=self.settings.seed)

    @property
    def candidates(self) -> list[Point]:
        """The points of the kinds asked for; exact search is measured in any case, as the baseline."""
        kinds, storages = self.settings.kinds, self.settings.storages or (self.exact.candidate.storage,)
        return [point for point in self.points if point.candidate.kind in kinds and point.candidate.storage in storages]

    @property
    def frontier(self) -> list[Point]:
        """The points that no other beats, fastest first."""
        return frontier(self.points)

    @property
    def interesting(self) -> list[Point]:
        """The points around the target and above it; what finds far too little is left out of tables and pictures."""
        least = 1 - _AROUND * max(1 - self.settings.recall, _NARROWEST)
        return [point for point in self.points if point.recall >= least]

    def candidate_of(self, point: Point) -> Candidate:
        """A point's settings for all rows of the collection."""
        return point.candidate.for_rows(self.rows, sampled=self.sampled + self.held)

    @property
    def held(self) -> int:
        """Vectors of the collection that were held out as queries."""
        return 0 if self.source == "given" else self.choosing + len(self.checking)

    def guarantee(self) -> dict[str, Any]:
        """What is promised of the choice, as JSON values, with the number of queries that it rests on."""
        choice = self.choice
        return {
            "k": self.settings.k,
            "target": self.settings.recall,
            "held_out_recall": round(choice.point.held_out, 6),
            "lower_bound": round(choice.lower, 6),
            "confidence": CONFIDENCE,
            "queries": len(self.checking),
            "met": choice.point.held_out >= self.settings.recall,
        }

    def describe(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        best = {id(point) for point in self.frontier}
        chosen = self.choice.point
        return {
            "k": self.settings.k,
            "target": self.settings.recall,
            "seed": self.settings.seed,
            "rows": self.rows,
            "sampled": self.sampled,
            "dim": self.dim,
            "queries": {"source": self.source, "choosing": self.choosing, "checking": len(self.checking)},
            "points": [
                {**point.describe(), "frontier": id(point) in best, "chosen": point is chosen} for point in self.points
            ],
            "skipped": list(self.skipped),
            "rejected": [point.describe() for point in self.choice.rejected],
            "chosen": {**chosen.describe(), "fallback": self.choice.fallback},
            "guarantee": self.guarantee(),
        }


def tune(
    collection: Collection,
    settings: TuneSettings,
    *,
    queries: Vectors | None = None,
    report: Report = lambda line: None,
) -> Tuning:
    """Measure and choose; the collection is only read.

    `queries` are as the index's encoder gives them; without any, vectors of the collection are held out of the trial.
    `report` is told in a line what was done.
    """
    snapshot = open_snapshot(collection.folder)
    drawn = draw(snapshot, settings, held=queries is None)
    questions = held_out(snapshot, drawn.held) if queries is None else given(_as_stored(queries, snapshot))
    halves = questions.halves(settings.seed)
    with scratch_folder(collection.folder) as folder:
        trial = _trial(folder, snapshot, blocks(snapshot, drawn.sample), halves, settings)
        report(f"sample: {len(trial.part):,} of {drawn.living:,} vectors, {len(questions):,} queries")
        exact = exact_point(trial, snapshot.manifest.dense.storage, report)
        points, skipped = _measure(trial, exact, report)
    return Tuning(
        settings=settings,
        dim=trial.part.dim,
        rows=drawn.living,
        sampled=len(drawn.sample),
        choosing=len(halves[0]),
        checking=halves[1],
        source="held out" if queries is None else "given",
        points=tuple(points),
        exact=exact,
        skipped=tuple(skipped),
    )


def _trial(
    folder: Path,
    snapshot: Snapshot,
    vectors: Iterator[Floats],
    halves: tuple[Questions, Questions],
    settings: TuneSettings,
) -> Trial:
    """The sample written as float32, whatever the collection's storage is: these are the vectors it searches."""
    assert snapshot.manifest.dim is not None
    part, _, build = build_part(folder / "exact", vectors, snapshot.manifest.dim, DenseSettings("flat"))
    return Trial(folder, part, build, halves, settings)


def _measure(trial: Trial, exact: Point, report: Report) -> tuple[list[Point], list[str]]:
    points, skipped = [exact], []
    now = exact.candidate
    storages = dict.fromkeys(trial.settings.storages or (now.storage,))
    for storage, kind in product(storages, dict.fromkeys(trial.settings.kinds)):
        if (kind, storage) != (now.kind, now.storage):
            found, why = measure_kind(trial, kind, storage, report, most_ms=exact.speed.median_ms)
            points += found
            skipped += [why] if why else []
    return points, skipped


def _as_stored(queries: Vectors, snapshot: Snapshot) -> Floats:
    manifest = snapshot.manifest
    assert manifest.encoder is not None and manifest.dim is not None
    return stored(queries, manifest.encoder, manifest.dim)


@contextmanager
def scratch_folder(index: Path) -> Iterator[Path]:
    """A temporary folder beside the index, on its disk; in the system's place where that is not allowed."""
    try:
        made = tempfile.TemporaryDirectory(prefix=f"{index.name}-tune-", dir=index.resolve().parent)
    except PermissionError:
        made = tempfile.TemporaryDirectory(prefix="retr-tune-")
    with made as name:
        yield Path(name)
