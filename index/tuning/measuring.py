"""Recall and speed of one kind after another over the same sample, each built once in a folder that is then removed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.kinds import chosen_kind
from retr.index.dense.parts import DensePart, write_part
from retr.index.dense.settings import DenseSettings, Kind, Storage
from retr.index.disk.fsio import Disk
from retr.index.tuning.candidates import Candidate, ladders
from retr.index.tuning.points import Build, Point, Speed
from retr.index.tuning.sampling import Questions
from retr.index.tuning.settings import TuneSettings
from retr.retrieval.embeddings import Floats

_TIMED = 300
"""Queries that are timed one by one: the median of so many moves by a few per cent between runs."""
_NO_GAIN = 5e-4
_COMPLETE = 1 - 5e-4
_HOPELESS = 2.0
"""Times as slow as the exact scan: noise alone does not make a kind look so."""
_SCORED_ROWS = 16_384
"""Found rows that are decoded and scored together."""

Report = Callable[[str], None]
Search = Callable[[Floats], NDArray[np.int64]]


class Trial:
    """The sample as exact vectors in `folder`, the two halves of the queries, and the exact answers to both."""

    def __init__(
        self, folder: Path, part: DensePart, build: Build, halves: tuple[Questions, Questions], settings: TuneSettings
    ) -> None:
        self.folder, self.part, self.build, self.settings = folder, part, build, settings
        self.choosing, self.checking = halves
        self.queries = np.concatenate([half.values for half in halves])
        found = part.search(self.queries, settings.k, exact=True).rows
        self._wanted = min(settings.k, len(part))
        self._edges = self._scores(found[:, : self._wanted]).min(axis=1)

    def recalls(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The share of the exact top k that each query found; rows as good as the k-th count as it."""
        scores = self._scores(rows)
        slack = 1e-9 * np.maximum(1.0, np.abs(self._edges))
        good = np.count_nonzero(scores >= (self._edges - slack)[:, None], axis=1).astype(np.float64)
        shares: NDArray[np.float64] = np.minimum(1.0, good / self._wanted)
        return shares

    def _scores(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Inner products in float64 over the vectors as the collection has them; -inf for row -1."""
        scores = np.empty(rows.shape)
        step = max(1, _SCORED_ROWS // max(1, rows.shape[1]))
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            vectors = self.part.vectors(np.maximum(rows[some], 0).ravel()).astype(np.float64)
            vectors = vectors.reshape(*rows[some].shape, -1)
            scores[some] = np.einsum("qd,qkd->qk", self.queries[some].astype(np.float64), vectors)
        scores[rows < 0] = -np.inf
        return scores

    def measure(self, candidate: Candidate, part: DensePart, build: Build) -> Point:
        """One point; the batch comes first, and warms what single queries then read."""

        def search(queries: Floats) -> NDArray[np.int64]:
            return part.search(queries, self.settings.k).rows

        recalls = self.recalls(search(self.queries))
        started = time.perf_counter()
        search(self.queries)
        qps = len(self.queries) / (time.perf_counter() - started)
        middle = len(self.choosing)
        speed = timed(search, self.choosing.values[:_TIMED], qps)
        return Point(candidate, build, speed, recalls[:middle], recalls[middle:])


def timed(search: Search, queries: Floats, qps: float) -> Speed:
    """Each query alone: the clock's median and 95th percentile, and CPU time a query, in milliseconds."""
    clock = np.empty(len(queries))
    before = time.process_time()
    for number in range(len(queries)):
        started = time.perf_counter()
        search(queries[number : number + 1])
        clock[number] = time.perf_counter() - started
    cpu = (time.process_time() - before) / len(queries)
    median, slow = np.quantile(clock * 1000, [0.5, 0.95])
    return Speed(float(median), float(slow), cpu * 1000, qps)


def build_part(
    folder: Path, blocks: Iterator[Floats], dim: int, settings: DenseSettings, *, seed: int = 0
) -> tuple[DensePart, dict[str, Any], Build]:
    """Write and open a part; its facts, and what it cost."""
    folder.mkdir()
    started = time.perf_counter()
    names, facts = write_part(Disk(), folder, blocks, dim, settings, seed=seed)
    seconds = time.perf_counter() - started
    sizes = {name: (folder / name).stat().st_size for name in names}
    vectors = sum(size for name, size in sizes.items() if name.endswith(".npy"))
    total = sum(sizes.values())
    memory = vectors if facts["kind"] == "flat" else total - vectors
    part = DensePart.open(folder, int(facts["rows"]), dim, facts)
    return part, facts, Build(seconds, total, memory, str(facts.get("factory", "")))


def measure_kind(
    trial: Trial, kind: Kind, storage: Storage, report: Report, *, most_ms: float
) -> tuple[list[Point], str]:
    """All points of a kind worth measuring, and why there are none. Its files are gone afterwards.

    A kind is given up once even its quickest search takes much longer than `most_ms`, the time of the exact scan.
    """
    rows, dim = len(trial.part), trial.part.dim
    # The effort is overwritten for each point; fixed numbers make the part's own calibration short.
    settings = DenseSettings(kind, storage, refine=1, nprobe=1, ef=16)
    built_kind, why = chosen_kind(settings, rows, dim)
    if built_kind != kind:
        return [], f"{kind}, {storage}: {why}"
    folder = trial.folder / f"{kind}-{storage}"
    try:
        part, facts, build = build_part(folder, trial.part.blocks(), dim, settings, seed=trial.settings.seed)
        report(f"{kind}, {storage}: built in {build.seconds:.1f} s, {build.bytes:,} bytes")
        del part
        points = list(_climb(trial, (kind, storage), (folder, facts, build), most_ms))
    finally:
        if folder.exists():
            Disk().remove(folder)
    return points, "" if points else f"{kind}, {storage}: an exact scan costs less on {rows} rows"


def _climb(
    trial: Trial, what: tuple[Kind, Storage], built: tuple[Path, dict[str, Any], Build], most_ms: float
) -> Iterator[Point]:
    """The points of each ladder until more effort brings nothing, or costs far more than the exact scan."""
    folder, facts, build = built
    for ladder in ladders(*what, rows=len(trial.part), k=trial.settings.k):
        rung: list[Point] = []
        for candidate in ladder:
            part = DensePart.open(folder, len(trial.part), trial.part.dim, candidate.facts(facts))
            if candidate.kind != "flat" and _scans(part, trial):
                return
            rung.append(trial.measure(candidate, part, build))
            yield rung[-1]
            if len(rung) > 1 and rung[-1].recall - rung[-2].recall < _NO_GAIN:
                break
        recall, quickest = max(point.recall for point in rung), min(point.speed.median_ms for point in rung)
        if recall >= _COMPLETE or quickest > _HOPELESS * most_ms:
            return


def _scans(part: DensePart, trial: Trial) -> bool:
    """Whether the planner thinks this effort dearer than scoring every vector, and so does that instead."""
    return part.search(trial.queries[:1], trial.settings.k).plan.effort is None


def exact_point(trial: Trial, storage: Storage, report: Report) -> Point:
    """The baseline: every vector scored, as the collection stores them now. Storing them so again loses nothing."""
    if storage == "float32":
        return trial.measure(Candidate("flat", storage), trial.part, trial.build)
    points, _ = measure_kind(trial, "flat", storage, report, most_ms=float("inf"))
    return points[0]
