"""A part whose candidates come from a device; everything else, and all that the device cannot do, as on the CPU."""

import os
from dataclasses import dataclass, replace
from threading import Lock
from weakref import WeakKeyDictionary

import numpy as np

from retr.index.dense.gpu.choice import Device
from retr.index.dense.gpu.moving import Moved, first_line, move
from retr.index.dense.kinds import Effort
from retr.index.dense.parts import Allowed, DensePart, Found
from retr.index.dense.planning import Plan
from retr.index.dense.scan import Rows, ranked, score_rows, widened
from retr.index.dense.threads import one_thread, pieces, spread
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Mismatch


@dataclass(frozen=True, slots=True)
class _Asked:
    """One search: for k of the rows that match, of which `enough` must pass for the k best to be settled."""

    k: int
    allowed: Allowed | None
    matching: int
    enough: int


class AcceleratedPart:
    """Searches `part` with candidates from a device; `where` names the device."""

    def __init__(self, part: DensePart, moved: Moved, where: str) -> None:
        self._part, self._moved, self._where = part, moved, where

    def __len__(self) -> int:
        return len(self._part)

    def search(self, queries: Floats, k: int, allowed: Allowed | None = None, *, exact: bool = False) -> Found:
        """As `DensePart.search`: as many rows as match, up to k. Queries that the device leaves short go to the CPU."""
        if queries.shape[1] != self._part.dim:
            raise Mismatch(f"The part holds vectors of {self._part.dim} numbers; the queries have {queries.shape[1]}.")
        rows = len(self)
        matching = rows if allowed is None else int(np.count_nonzero(allowed))
        reach, effort = self._moved.reach, None
        if len(queries) and k < matching and self._moved.usable:
            effort = reach.first(k, rows, matching, exact=exact)
        if effort is None:
            return self._on_cpu(queries, k, allowed, exact, f"not on {self._where}")
        allowed = None if matching == rows else allowed
        asked = _Asked(k, allowed, matching, reach.enough(k, matching, exact=exact))
        try:
            return self._on_device(queries, asked, effort, exact)
        except RuntimeError as error:  # No room for this search on the GPU, or the GPU is gone.
            return self._on_cpu(queries, k, allowed, exact, f"{self._where} failed ({first_line(error)})")

    def _on_cpu(self, queries: Floats, k: int, allowed: Allowed | None, exact: bool, why: str) -> Found:
        found = self._part.search(queries, k, allowed, exact=exact)
        return replace(found, plan=replace(found.plan, why=f"{found.plan.why}; {why}"))

    def _on_device(self, queries: Floats, asked: _Asked, effort: Effort, exact: bool) -> Found:
        """Candidates by this effort, by wider ones for the queries it leaves short, and by the CPU for the last."""
        scores = np.empty((len(queries), asked.k), np.float32)
        best = np.empty((len(queries), asked.k), np.int64)
        left, tries, why = np.arange(len(queries)), [effort], "as calibrated" if effort.width else "on the device"
        while True:
            scores[left], best[left], passed = self._try(queries[left], asked, tries[-1])
            left = left[passed < asked.enough]
            wider = self._moved.reach.wider(tries[-1], len(self))
            if not len(left) or wider is None:
                break
            tries.append(wider)
        if len(tries) > 1:
            why += f", {len(tries) - 1} times wider for some"
        if len(left):
            why += f", {len(left)} queries again on the CPU"
            again = self._part.search(np.ascontiguousarray(queries[left]), asked.k, asked.allowed, exact=exact)
            scores[left], best[left] = again.scores, again.rows
        return Found(scores, best, Plan(self._where, len(self), asked.matching, why, effort))

    def _try(self, queries: Floats, asked: _Asked, effort: Effort) -> tuple[Floats, Rows, Rows]:
        """The best k a query by exact scores, and how many candidates passed the filter."""
        candidates = self._moved.candidates(queries, effort)
        if asked.allowed is not None:
            candidates = np.where((candidates >= 0) & asked.allowed[candidates], candidates, -1)
        candidates = np.sort(candidates, axis=1)
        found = spread(lambda piece: self._ranked(queries[piece], candidates[piece], asked.k), pieces(len(queries)))
        passed = np.count_nonzero(candidates >= 0, axis=1)
        return np.concatenate([scores for scores, _ in found]), np.concatenate([rows for _, rows in found]), passed

    def _ranked(self, queries: Floats, candidates: Rows, k: int) -> tuple[Floats, Rows]:
        with one_thread():
            scores, rows = ranked(score_rows(self._part.stored, queries, candidates), candidates, k)
        return widened(scores, -np.inf, k), widened(rows, -1, k)


# Of the part itself nothing is kept here: what is moved goes when the part does.
_moved: WeakKeyDictionary[DensePart, dict[Device, tuple[Moved | None, str]]] = WeakKeyDictionary()
_moving = Lock()


def _forget() -> None:
    """In a forked process: what its parent had moved, and a lock that nobody there will open."""
    global _moving
    _moving = Lock()
    _moved.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # Runs after that of `cards`, which has left the indexes alone.


def placed(part: DensePart, device: Device) -> tuple[DensePart | AcceleratedPart, str]:
    """The part as it is searched on the device, moved once, and where that is; the part itself when it stays."""
    if not device.gpus:
        return part, "CPU"
    with _moving:
        known = _moved.setdefault(part, {})
        if device not in known:
            known[device] = move(part, device)
        moved, where = known[device]
    return (part, f"CPU: {where}") if moved is None else (AcceleratedPart(part, moved, where), where)
