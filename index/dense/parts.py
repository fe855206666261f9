"""One segment's vectors: written with the index that fits them, searched by the plan that fits the filter."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.ann import ANN, AnnIndex, LazyAnn, build_ann, open_ann
from retr.index.dense.calibration import Calibration, calibrate
from retr.index.dense.engine import faiss
from retr.index.dense.kinds import COSTED_PART, FAMILIES, Effort, chosen_kind, cost, finer_part, part_size
from retr.index.dense.planning import Plan, Planner
from retr.index.dense.scan import Rows, ranked, scan, score_rows, widened
from retr.index.dense.settings import DenseSettings
from retr.index.dense.storage import CODECS, StoredVectors, write_vectors
from retr.index.dense.threads import one_thread, pieces, spread
from retr.index.disk.fsio import Disk
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged, Mismatch

Allowed = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The best rows of a part, best first: scores float32 and rows int64 [queries, k], -1 where there are fewer."""

    scores: Floats
    rows: Rows
    plan: Plan


def write_part(
    disk: Disk,
    folder: Path,
    blocks: Iterable[Floats],
    dim: int,
    settings: DenseSettings,
    *,
    seed: int = 0,
) -> tuple[list[str], dict[str, Any]]:
    """Write float32 blocks [n, dim] into an existing folder, as they come; gives the files' names and what they hold.

    The vectors first, then the index of an approximate kind, trained on a seeded sample of them, filled block by block
    and calibrated. Nothing is synced. A file that cannot be written, such as on a full disk, is an OSError.
    """
    rows, names = write_vectors(disk, folder, blocks, dim, settings.storage)
    kind, why = chosen_kind(settings, rows, dim)
    facts: dict[str, Any] = {"kind": kind, "storage": settings.storage, "rows": rows, "dim": dim}
    if kind != "flat":
        stored = StoredVectors.open(folder, rows, dim, settings.storage)
        built = _build(stored, kind, settings, seed)
        kind, why = built.kind, built.why or why
        if kind != "flat":
            built.ann.write(disk, folder / ANN)
            names = [*names, ANN]
            facts |= {"factory": built.factory, "lists": built.ann.lists}
            facts |= {"part": built.part} if FAMILIES[kind].coded else {}
            facts |= built.calibration.facts(graph=built.ann.graph)
    if kind != settings.kind:
        facts |= {"kind": kind, "asked": settings.kind} | ({"why": why} if why else {})
    return names, facts


@dataclass(frozen=True, slots=True)
class _Built:
    kind: str
    ann: AnnIndex
    factory: str
    calibration: Calibration
    part: int
    why: str = ""


def _build(stored: StoredVectors, kind: str, settings: DenseSettings, seed: int, part: int = 0) -> _Built:
    """The index of a kind, calibrated; `auto` takes finer codes, or a simpler kind, where this one does not pay."""
    part = part or part_size(stored.dim) or COSTED_PART
    ann, factory = build_ann(stored, kind, part, seed=seed)
    calibration = calibrate(stored, ann, kind, settings, part=part, seed=seed)
    built = _Built(kind, ann, factory, calibration, part)
    if settings.kind != "auto":
        return built
    rows, effort = len(stored), calibration.shallow
    price = cost(FAMILIES[kind], rows, ann.lists, effort, part)
    if kind == "ivf-pq" and cost(FAMILIES["pq"], rows, 1, Effort(effort.candidates, 1), part) <= price:
        why = f"ivf-pq would search {effort.width} of {ann.lists} lists, which costs more than to scan every code"
        return replace(_build(stored, "pq", settings, seed, part), why=why)
    if price < rows and calibration.recall >= settings.recall:
        return built
    why = f"{kind} reached a recall of {calibration.recall:.4f} with {effort.candidates} candidates"
    finer = finer_part(stored.dim, part) if FAMILIES[kind].coded and price < rows else 0
    if not finer:
        return replace(built, kind="flat", why=why)
    better = _build(stored, kind, settings, seed, finer)
    why = f"{why} and {part} numbers to a code"
    return replace(better, why=f"{why}; {better.why}" if better.why else why)


class DensePart:
    """The vectors of one segment, opened for reading through memory maps. Rows count from 0."""

    def __init__(self, stored: StoredVectors, planner: Planner, ann: LazyAnn | None = None) -> None:
        self._stored, self._planner, self._ann = stored, planner, ann

    @classmethod
    def open(cls, folder: Path, rows: int, dim: int, facts: Mapping[str, Any]) -> "DensePart":
        """Map what `write_part` wrote; no facts stand for float32 vectors alone. Damaged where files do not fit."""
        kind, storage = facts.get("kind", "flat"), facts.get("storage", "float32")
        if kind not in ("flat", *FAMILIES) or storage not in CODECS:
            raise Damaged(f"{str(folder)!r} names the kind {kind!r} and storage {storage!r}. Run: retr check")
        if (facts.get("rows", rows), facts.get("dim", dim)) != (rows, dim):
            raise Damaged(
                f"{str(folder)!r} should hold {rows} vectors of {dim} numbers; its facts name {facts.get('rows')} "
                f"of {facts.get('dim')}. Run: retr check"
            )
        stored = StoredVectors.open(folder, rows, dim, storage)
        if kind == "flat":
            return cls(stored, Planner(kind, rows))
        part = int(facts.get("part", COSTED_PART))
        planner = Planner(kind, rows, int(facts.get("lists", 1)), Calibration.from_facts(facts), part)
        return cls(stored, planner, open_ann(folder / ANN, kind, rows, dim))

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._stored.dim

    @property
    def stored(self) -> StoredVectors:
        """The vectors as they lie on disk."""
        return self._stored

    @property
    def planner(self) -> Planner:
        """What is known of the part: its kind, its lists and its calibration."""
        return self._planner

    def ann(self) -> AnnIndex:
        """The index beside the vectors, of an approximate kind."""
        assert self._ann is not None and self._planner.calibration is not None
        return self._ann.get(self._planner.calibration.shallow.width)

    def vectors(self, rows: Rows) -> Floats:
        """A copy of some rows, decoded: float32 [rows, dim], in the order given."""
        return self._stored.take(rows)

    def blocks(self, rows: int = 65_536) -> Iterator[Floats]:
        """All rows in order, decoded, at most `rows` at a time."""
        return self._stored.blocks(rows)

    def search(self, queries: Floats, k: int, allowed: Allowed | None = None, *, exact: bool = False) -> Found:
        """The k best rows of each query [queries, dim], C-contiguous, among those where `allowed` [rows] is True.

        Always min(k, rows allowed) rows, none twice; which they are is exact unless the plan has an effort.
        """
        if queries.shape[1] != self.dim:
            raise Mismatch(f"The part holds vectors of {self.dim} numbers; the queries have {queries.shape[1]}.")
        matching = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if matching == len(self):
            allowed = None
        plan = self._planner.plan(k, matching, exact=exact)
        scores, rows = self._run(plan, queries, k, allowed)
        return Found(widened(scores, -np.inf, k), widened(rows, -1, k), plan)

    def _run(self, plan: Plan, queries: Floats, k: int, allowed: Allowed | None) -> tuple[Floats, Rows]:
        if plan.effort is None:
            candidates = None if allowed is None else np.flatnonzero(allowed)
            with one_thread():
                return scan(self._stored, queries, k, candidates)
        cut = pieces(len(queries))
        if len(cut) == 1:
            return self._approximate(plan, queries, k, allowed)
        found = spread(lambda piece: self._approximate(plan, queries[piece], k, allowed), cut)
        return np.concatenate([scores for scores, _ in found]), np.concatenate([rows for _, rows in found])

    def _approximate(self, plan: Plan, queries: Floats, k: int, allowed: Allowed | None) -> tuple[Floats, Rows]:
        assert plan.effort is not None
        ann = self.ann()
        with one_thread():
            if allowed is None:
                candidates = ann.search(queries, plan.effort)
            else:
                bits = np.packbits(allowed, bitorder="little")
                candidates = ann.search(queries, plan.effort, _selector(bits))
            candidates.sort(axis=1)
            scores, rows = ranked(score_rows(self._stored, queries, candidates), candidates, k)
        short = np.flatnonzero(rows[:, min(k, plan.matching) - 1] < 0)
        if len(short):
            again = self._run(self._planner.wider(plan), queries[short], k, allowed)
            scores[short], rows[short] = (values[:, : rows.shape[1]] for values in again)
        return scores, rows


def _selector(bits: NDArray[np.uint8]) -> Any:
    return faiss().IDSelectorBitmap(len(bits), faiss().swig_ptr(bits))
