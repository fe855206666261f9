"""Vectors put on GPUs: flat, as the part's own lists, or as a CAGRA graph; each checked for room first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.index.dense.gpu.cards import Card, Held, card
from retr.index.dense.gpu.choice import Device, obstacle
from retr.index.dense.gpu.lists import Lists
from retr.index.dense.gpu.memory import flat_bytes, graph_bytes, shortage
from retr.index.dense.gpu.reach import MOST_CANDIDATES, Reach
from retr.index.dense.kinds import Effort
from retr.index.dense.parts import DensePart
from retr.index.dense.threads import spread
from retr.retrieval.embeddings import Floats

Candidates = Callable[[Floats, Effort], NDArray[np.int64]]

LISTED = ("ivf-flat", "ivf-sq8", "ivf-pq")
"""Kinds whose lists are searched on a GPU. The others have none worth it: `pq` has one, `rabitq` turns the space."""

_LEAST_KEPT = 64
_WARP = 32


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Vectors on a device: `candidates(queries, effort)` gives rows [queries, n], -1 where there are fewer."""

    candidates: Candidates
    reach: Reach
    held: tuple[Held, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether this process may search them."""
        return all(one.usable for one in self.held)


def move(part: DensePart, device: Device) -> tuple[Moved | None, str]:
    """The part's vectors on the device and where they are; or None and why they stay on the CPU."""
    if not device.gpus:
        return None, "the CPU was asked for"
    reason = obstacle(device)
    if reason:
        return None, reason
    plan = _plan(part, device)
    spans = _spans(len(part), device)
    reason = shortage({gpu: plan.size(stop - start) for gpu, start, stop in spans})
    if reason:
        return None, reason
    try:
        held = tuple(plan.put(card(gpu), start, stop) for gpu, start, stop in spans)
    except RuntimeError as error:  # Out of GPU memory, a driver that is too old, a shape that CAGRA refuses.
        return None, f"FAISS could not move the vectors ({first_line(error)})"
    places = f"{plan.name} on GPU {', '.join(str(gpu) for gpu, _, _ in spans)}"
    return Moved(_candidates(held, device, plan.parameters), plan.reach, held), places + plan.note


def first_line(error: Exception) -> str:
    """What FAISS says, without the lines that follow."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One way to search a part on GPUs: its name, the bytes of so many rows, how they are put there and asked for."""

    name: str
    size: Callable[[int], int]
    put: Callable[[Card, int, int], Held]
    parameters: Callable[[Effort], Any]
    reach: Reach
    note: str = ""


def _plan(part: DensePart, device: Device) -> _Plan:
    stored, dim = part.stored, part.dim

    def flat(place: Card, start: int, stop: int) -> Held:
        index = faiss().index_cpu_to_gpu(place.resources, place.gpu, faiss().IndexFlatIP(dim))
        index.add(np.ascontiguousarray(stored.span(start, stop)))
        return Held(place, index, start)

    def graph(place: Card, start: int, stop: int) -> Held:
        config = faiss().GpuIndexCagraConfig()
        config.device = place.gpu
        index = faiss().GpuIndexCagra(place.resources, dim, faiss().METRIC_INNER_PRODUCT, config)
        index.train(np.ascontiguousarray(stored.span(start, stop)))
        return Held(place, index, start)

    if device.search == "cagra":
        return _Plan("cagra", lambda rows: graph_bytes(rows, dim), graph, _graph_parameters, Reach.graph())
    listed, why = _listed(part) if device.search == "kind" else (None, "")
    if listed is not None:
        return listed
    return _Plan("flat", lambda rows: flat_bytes(rows, dim), flat, lambda effort: None, Reach(), why)


def _listed(part: DensePart) -> tuple[_Plan | None, str]:
    """The plan by the part's own lists; or None, and why not where one would expect it."""
    kind, calibration = part.planner.kind, part.planner.calibration
    if kind not in LISTED or calibration is None:
        return None, ""
    width = calibration.shallow.width
    if width > MOST_CANDIDATES:
        return None, f" ({kind} would search {width} lists; on a GPU, FAISS searches {MOST_CANDIDATES} at most)"
    lists = Lists(part.ann(), part.stored)

    def put(place: Card, start: int, stop: int) -> Held:
        host = lists.copy(start, stop)
        return Held(place, faiss().index_cpu_to_gpu(place.resources, place.gpu, host))

    reach = Reach(exact=not lists.scalar, lists=len(lists), calibration=calibration)
    name = f"{kind} as ivf-flat" if kind == "ivf-pq" else kind
    return _Plan(name, lists.size, put, lambda effort: faiss().SearchParametersIVF(nprobe=effort.width), reach), ""


def _graph_parameters(effort: Effort) -> Any:
    """CAGRA gives back no more rows than it keeps on its way, in steps of a warp."""
    parameters = faiss().SearchParametersCagra()
    parameters.itopk_size = max(_LEAST_KEPT, -(-effort.candidates // _WARP) * _WARP)
    return parameters


def _spans(rows: int, device: Device) -> list[tuple[int, int, int]]:
    """Each GPU that gets rows, and those from where to where."""
    count = len(device.gpus)
    if device.spread == "replicate":
        return [(gpu, 0, rows) for gpu in device.gpus]
    cuts = [rows * number // count for number in range(count + 1)]
    return [span for span in zip(device.gpus, cuts, cuts[1:], strict=False) if span[1] < span[2]]


def _candidates(held: tuple[Held, ...], device: Device, parameters: Callable[[Effort], Any]) -> Candidates:
    def one(held: Held, queries: Floats, effort: Effort) -> NDArray[np.int64]:
        return held.search(queries, effort.candidates, parameters(effort))

    def shards(queries: Floats, effort: Effort) -> NDArray[np.int64]:
        return np.concatenate(spread(lambda place: one(place, queries, effort), held), axis=1)

    def replicas(queries: Floats, effort: Effort) -> NDArray[np.int64]:
        shares = list(zip(held, np.array_split(queries, len(held)), strict=True))
        taken = [share for share in shares if len(share[1])]
        return np.concatenate(spread(lambda share: one(share[0], share[1], effort), taken))

    return replicas if device.spread == "replicate" else shards
