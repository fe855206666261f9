"""A part whose candidates come from a device; everything else, and all that the device cannot do, as on the CPU."""

from dataclasses import replace
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np

from retr.index.dense.gpu import Device, Moved, move
from retr.index.dense.parts import Allowed, DensePart, Found
from retr.index.dense.planning import Plan
from retr.index.dense.scan import ranked, score_rows, widened
from retr.retrieval.embeddings import Floats


class Part(Protocol):
    """What a `DenseIndex` searches."""

    def __len__(self) -> int:
        """Rows held."""
        ...

    def search(self, queries: Floats, k: int, allowed: Allowed | None = None, *, exact: bool = False) -> Found:
        """As `DensePart.search`."""
        ...


class AcceleratedPart:
    """Searches `part` with candidates from a device; `where` names the device."""

    def __init__(self, part: DensePart, moved: Moved, where: str) -> None:
        self._part, self._moved, self._where = part, moved, where

    def __len__(self) -> int:
        return len(self._part)

    def search(self, queries: Floats, k: int, allowed: Allowed | None = None, *, exact: bool = False) -> Found:
        """As `DensePart.search`: as many rows as match, up to k. Queries that the device leaves short go to the CPU."""
        rows = len(self._part)
        matching = rows if allowed is None else int(np.count_nonzero(allowed))
        width = self._moved.width(min(k, matching), rows, matching)
        if not len(queries) or not matching or not width or (exact and not self._moved.exhaustive):
            found = self._part.search(queries, k, allowed, exact=exact)
            return replace(found, plan=replace(found.plan, why=f"{found.plan.why}; not on {self._where}"))
        candidates = self._moved.candidates(queries, width)
        if matching < rows and allowed is not None:
            candidates = np.where((candidates >= 0) & allowed[candidates], candidates, -1)
        candidates = np.sort(candidates, axis=1)
        scores, best = ranked(score_rows(self._part.stored, queries, candidates), candidates, k)
        scores, best = widened(scores, -np.inf, k), widened(best, -1, k)
        short = np.flatnonzero(best[:, min(k, matching) - 1] < 0)
        if len(short):
            again = self._part.search(np.ascontiguousarray(queries[short]), k, allowed, exact=exact)
            scores[short], best[short] = again.scores, again.rows
        why = f"{width} candidates from {self._where}" + (f", {len(short)} queries again on the CPU" * bool(len(short)))
        return Found(scores, best, Plan(self._where, rows, matching, why))


_on_devices: WeakKeyDictionary[DensePart, dict[Device, tuple[Part, str]]] = WeakKeyDictionary()


def placed(part: DensePart, device: Device) -> tuple[Part, str]:
    """The part as it is searched on the device, moved once, and where that is; the part itself when it stays."""
    if not device.gpus:
        return part, "CPU"
    known = _on_devices.setdefault(part, {})
    if device not in known:
        moved, where = move(part.stored, device)
        known[device] = (part, f"CPU: {where}") if moved is None else (AcceleratedPart(part, moved, where), where)
    return known[device]
