"""A part's vectors on one GPU or several: they find the candidates, which are then scored exactly as on the CPU.

So the GPU decides only which rows are looked at; scores, ties and filters come out as without it, within the rounding
of its own inner products. What cannot be moved stays on the CPU, with the reason at hand.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.index.dense.storage import StoredVectors
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

Search = Literal["flat", "cagra"]
Spread = Literal["shard", "replicate"]

MOST_CANDIDATES = 2048
"""What FAISS gives back at most for one query on a GPU."""

SLACK = 16
"""Further candidates a query: rows whose scores differ by rounding alone may change places."""

_GRAPH_FACTOR = 8
_FORM = re.compile(r"cuda(?::(\d+(?:,\d+)*))?(\+cagra|\+replicate)?")


@dataclass(frozen=True, slots=True)
class Device:
    """Where vectors are searched. No GPUs: the CPU.

    `search` is brute force or the CAGRA graph (arXiv 2308.15136), which only builds of FAISS with cuVS have. Over
    several GPUs, vectors are cut into shards, or each GPU holds all and takes a share of the queries.
    """

    gpus: tuple[int, ...] = ()
    search: Search = "flat"
    spread: Spread = "shard"

    def __post_init__(self) -> None:
        if self.search not in get_args(Search):
            raise BadInput(f"A GPU searches by {' or '.join(get_args(Search))}; got {self.search!r}.")
        if self.spread not in get_args(Spread):
            raise BadInput(f"Several GPUs {' or '.join(get_args(Spread))}; got {self.spread!r}.")
        if self.search == "cagra" and len(self.gpus) > 1:
            raise BadInput("CAGRA searches on one GPU. Name one, such as cuda:0, or use the flat search.")

    @classmethod
    def parse(cls, text: str) -> "Device":
        """`cpu`, `cuda` (every GPU there is), `cuda:1`, `cuda:0,1`; then `+cagra` or `+replicate` where wanted."""
        if text == "cpu":
            return cls()
        match = _FORM.fullmatch(text)
        if match is None:
            raise BadInput(
                f"A device is cpu, cuda, cuda:N or cuda:N,M, +cagra or +replicate after it where wanted; got {text!r}."
            )
        search: Search = "cagra" if match[2] == "+cagra" else "flat"
        spread: Spread = "replicate" if match[2] == "+replicate" else "shard"
        if match[1] is not None:
            return cls(tuple(dict.fromkeys(int(number) for number in match[1].split(","))), search, spread)
        count = 1 if search == "cagra" else max(1, gpus_here())
        return cls(tuple(range(count)), search, spread)


def gpus_here() -> int:
    """How many GPUs FAISS can use; 0 for a build without GPU support."""
    count = getattr(faiss(), "get_num_gpus", None)
    return 0 if count is None or not hasattr(faiss(), "StandardGpuResources") else int(count())


def obstacle(device: Device) -> str:
    """Why vectors cannot be moved to the device; empty when they can."""
    if not hasattr(faiss(), "StandardGpuResources"):
        return "this FAISS has no GPU support (faiss-cpu is installed; see docs/gpu.md for faiss-gpu)"
    here = gpus_here()
    missing = [number for number in device.gpus if number >= here]
    if missing:
        return f"there is no GPU {missing[0]}; FAISS sees {here}"
    if device.search == "cagra" and not hasattr(faiss(), "GpuIndexCagra"):
        return "this FAISS was built without cuVS, so it has no CAGRA (see docs/gpu.md for faiss-gpu-cuvs)"
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Vectors on a device: `candidates(queries, count)` gives rows [queries, count], -1 where there are fewer."""

    candidates: Callable[[Floats, int], NDArray[np.int64]]
    exhaustive: bool

    def width(self, k: int, rows: int, matching: int) -> int:
        """Candidates to ask for, so that k rows most likely pass a filter that `matching` of `rows` pass; 0: too many.

        By chance a query's neighbours may pass it less often than others do; half as many again make up for most.
        """
        wanted = k + SLACK if self.exhaustive else _GRAPH_FACTOR * k + SLACK
        if matching < rows:
            wanted = ceil(1.5 * wanted * rows / max(1, matching))
        wanted = min(wanted, rows)
        return wanted if wanted <= MOST_CANDIDATES else 0


def move(stored: StoredVectors, device: Device) -> tuple[Moved | None, str]:
    """The vectors on the device and where they are; or None and why they stay on the CPU."""
    if not device.gpus:
        return None, "the CPU was asked for"
    reason = obstacle(device)
    if reason:
        return None, reason
    try:
        index = _cagra(stored, device) if device.search == "cagra" else _flat(stored, device)
    except RuntimeError as error:  # Out of GPU memory, a driver that is too old, a shape that CAGRA refuses.
        return None, f"FAISS could not move the vectors ({str(error).splitlines()[0]})"
    names = ", ".join(str(number) for number in device.gpus)
    return Moved(_searcher(index), device.search == "flat"), f"{device.search} on GPU {names}"


def _searcher(index: Any) -> Callable[[Floats, int], NDArray[np.int64]]:
    def candidates(queries: Floats, count: int) -> NDArray[np.int64]:
        _, rows = index.search(np.ascontiguousarray(queries), count)
        return np.asarray(rows, np.int64)

    return candidates


def _flat(stored: StoredVectors, device: Device) -> Any:
    host = faiss().IndexFlatIP(stored.dim)
    for block in stored.blocks(65_536):
        host.add(np.ascontiguousarray(block))
    options = faiss().GpuMultipleClonerOptions()
    options.shard = device.spread == "shard"
    return faiss().index_cpu_to_gpus_list(host, co=options, gpus=list(device.gpus))


def _cagra(stored: StoredVectors, device: Device) -> Any:
    config = faiss().GpuIndexCagraConfig()
    config.device = device.gpus[0]
    resources = faiss().StandardGpuResources()
    index = faiss().GpuIndexCagra(resources, stored.dim, faiss().METRIC_INNER_PRODUCT, config)
    index.train(np.ascontiguousarray(np.concatenate(list(stored.blocks(65_536)))))
    return index
