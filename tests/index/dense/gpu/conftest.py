"""Stand-ins for FAISS's GPU symbols: CPU indexes behind the limits that its GPU indexes have."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.index.dense.gpu import accelerated, cards, memory
from retr.index.dense.parts import DensePart

MOST = 2048


class Ownership:
    """What SWIG calls `this`."""

    def __init__(self) -> None:
        self.owned = True

    def disown(self) -> None:
        self.owned = False


class Resources:
    """One scratch memory, which no two calls may use at once."""

    def __init__(self, machine: "Machine") -> None:
        self.machine, self.this = machine, Ownership()
        self._busy = threading.Lock()
        machine.resources.append(self)

    def __enter__(self) -> None:
        if not self._busy.acquire(blocking=False):
            self.machine.clashes += 1
            raise AssertionError("two calls at once on one scratch memory would end the process")

    def __exit__(self, *args: object) -> None:
        self._busy.release()


class OnGpu:
    """A CPU index that takes what its like on a GPU takes: no selector, k and nprobe up to 2,048."""

    def __init__(self, resources: Resources, index: Any) -> None:
        self.resources, self.index, self.this = resources, index, Ownership()

    def add(self, values: NDArray[np.float32]) -> None:
        with self.resources:
            self.index.add(values.astype(np.float16).astype(np.float32))  # A GPU rounds otherwise than the CPU.

    def search(self, queries: NDArray[np.float32], k: int, *, params: Any) -> tuple[Any, NDArray[np.int64]]:
        machine = self.resources.machine
        assert 1 <= k <= MOST
        assert len(queries)
        if machine.broken:
            raise RuntimeError("Error in allocMemory: out of memory\nOutstanding allocations:")
        if isinstance(self.index, faiss().IndexIVF):
            assert params.sel is None
            assert 1 <= params.nprobe <= min(MOST, self.index.nlist)
        else:
            assert params is None
        machine.searches.append((len(queries), k, 0 if params is None else params.nprobe))
        with self.resources:
            machine.searching.set()
            time.sleep(machine.pause)
            scores, rows = self.index.search(queries, k, params=params)
        # Nothing may depend on the order in which a GPU gives equal scores.
        return scores, rows[:, np.random.default_rng(k).permutation(k)]

    def __del__(self) -> None:
        with self.resources:
            self.resources.machine.freed += 1


class GraphOnGpu:
    """Brute force in the place of CAGRA, which gives back no more rows than it keeps."""

    def __init__(self, resources: Resources, dim: int, metric: int, config: Any) -> None:
        assert metric == faiss().METRIC_INNER_PRODUCT
        self.resources, self.index, self.this = resources, faiss().IndexFlatIP(dim), Ownership()

    def train(self, values: NDArray[np.float32]) -> None:
        self.index.add(values)

    def search(self, queries: NDArray[np.float32], k: int, *, params: Any) -> tuple[Any, NDArray[np.int64]]:
        assert k <= params.itopk_size
        assert params.itopk_size % 32 == 0
        self.resources.machine.searches.append((len(queries), k, params.itopk_size))
        return self.index.search(queries, k)


@dataclass
class Machine:
    """A machine with GPUs, and what was done on them."""

    gpus: int = 2
    free: int = 80_000_000_000
    pause: float = 0.0
    broken: bool = False
    clashes: int = 0
    freed: int = 0
    searching: threading.Event = field(default_factory=threading.Event)
    resources: list[Resources] = field(default_factory=list)
    searches: list[tuple[int, int, int]] = field(default_factory=list)

    def to_gpu(self, resources: Resources, gpu: int, host: Any) -> OnGpu:
        """As `index_cpu_to_gpu`, which knows these alone."""
        assert gpu < self.gpus
        kinds = (faiss().IndexFlat, faiss().IndexIVFFlat, faiss().IndexIVFScalarQuantizer)
        if not isinstance(host, kinds):
            raise RuntimeError("This index type is not implemented on GPU.")
        return OnGpu(resources, faiss().clone_index(host))


class Parameters:
    """As `SearchParametersCagra`."""

    itopk_size = 64


class Config:
    """As `GpuIndexCagraConfig`."""

    device = 0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Two GPUs with all that a build of FAISS with cuVS has."""
    made = Machine()
    symbols = {
        "StandardGpuResources": lambda: Resources(made),
        "get_num_gpus": lambda: made.gpus,
        "index_cpu_to_gpu": made.to_gpu,
        "GpuIndexCagra": GraphOnGpu,
        "GpuIndexCagraConfig": Config,
        "SearchParametersCagra": Parameters,
    }
    for name, value in symbols.items():
        monkeypatch.setattr(faiss(), name, value, raising=False)
    monkeypatch.setattr(cards, "_cards", {})
    monkeypatch.setattr(cards, "_forked", False)
    nothing: WeakKeyDictionary[DensePart, Any] = WeakKeyDictionary()
    monkeypatch.setattr(accelerated, "_moved", nothing)
    monkeypatch.setattr(memory, "device_memory", lambda gpu: (made.free, 80_000_000_000))
    yield made
    assert made.clashes == 0
