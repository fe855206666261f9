"""The FAISS index beside a part's vectors: trained on a sample, filled block by block, read through a memory map."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.index.dense.kinds import FAMILIES, Effort
from retr.index.dense.storage import StoredVectors
from retr.index.dense.threads import building_threads, one_thread
from retr.index.disk.fsio import Disk
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged

ANN = "dense.faiss"

_SAMPLE_PER_LIST = 48
_SAMPLE = 16_384
"""Vectors that train the 4-bit codes: 1,024 for each of the 16 values of a code."""
_ROUNDS = 10
_ADD_ROWS = 16_384


class AnnIndex:
    """One FAISS index over the rows of one part. Nothing in it changes between searches, so threads may share it."""

    def __init__(self, index: Any, kind: str) -> None:
        self.index = index
        self.graph = FAMILIES[kind].graph
        self._rotated = isinstance(index, faiss().IndexPreTransform)
        self._ivf = None if self.graph else faiss().downcast_index(faiss().extract_index_ivf(index))
        self.lists = 1 if self._ivf is None else int(self._ivf.nlist)
        self._width = 1

    def set_width(self, width: int) -> None:
        """Lists searched when nothing else is asked for; such a search needs no parameters."""
        self._width = width
        if self._ivf is not None:
            self._ivf.nprobe = width

    def search(self, queries: Floats, effort: Effort, selector: Any = None) -> NDArray[np.int64]:
        """The candidates of each query [queries, effort.candidates], -1 where there are fewer; not scored exactly."""
        scores = np.empty((len(queries), effort.candidates), np.float32)
        rows = np.empty(scores.shape, np.int64)
        parameters = None
        if selector is not None or self.graph or effort.width != self._width:
            parameters = self._parameters(effort, selector)
        pointer = faiss().swig_ptr  # FAISS's own wrapper checks and converts for as long as a small search takes.
        self.index.search_c(
            len(queries), pointer(queries), effort.candidates, pointer(scores), pointer(rows), parameters
        )
        return rows

    def _parameters(self, effort: Effort, selector: Any) -> Any:
        if self.graph:
            return faiss().SearchParametersHNSW(sel=selector, efSearch=max(effort.width, effort.candidates))
        inner = faiss().SearchParametersIVF(sel=selector, nprobe=min(effort.width, self.lists))
        return faiss().SearchParametersPreTransform(index_params=inner) if self._rotated else inner

    def configure_training(self, seed: int) -> None:
        """A few rounds of clustering from a fixed start; quiet where a list has few rows to learn from."""
        if self._ivf is None:
            return
        parameters = [self._ivf.cp] + ([self._ivf.pq.cp] if hasattr(self._ivf, "pq") else [])
        for clustering in parameters:
            clustering.seed, clustering.min_points_per_centroid = seed, 1
        self._ivf.cp.niter = _ROUNDS

    def write(self, disk: Disk, path: Path) -> None:
        """Write the file; a full disk is an OSError (FAISS's own writer can end without one)."""
        disk.write(path, b"")
        with path.open("r+b") as file:
            faiss().write_index(self.index, faiss().PyCallbackIOWriter(file.write))


def build_ann(stored: StoredVectors, kind: str, part: int, *, seed: int = 0) -> tuple[AnnIndex, str]:
    """Train on a seeded sample and add every row; gives the index and its factory string.

    `part` numbers share a 4-bit code, where the kind has any.
    """
    family, rows = FAMILIES[kind], len(stored)
    lists = family.lists(rows)
    factory = family.factory(stored.dim, lists, part)
    index = faiss().index_factory(stored.dim, factory, faiss().METRIC_INNER_PRODUCT)
    ann = AnnIndex(index, kind)
    ann.configure_training(seed)
    size = min(rows, max(_SAMPLE, _SAMPLE_PER_LIST * lists))
    sample = np.random.default_rng(seed).choice(rows, size, replace=False)
    with _threads_for(ann, rows):
        index.train(stored.take(np.sort(sample)))
        for block in stored.blocks(_ADD_ROWS):
            index.add(np.ascontiguousarray(block))
    return ann, factory


def _threads_for(ann: AnnIndex, rows: int) -> AbstractContextManager[None]:
    """All threads, but one for a graph: which of two neighbours is linked first would depend on the threads' luck."""
    return one_thread() if ann.graph else building_threads(rows)


def open_ann(path: Path, kind: str, rows: int, dim: int) -> "LazyAnn":
    """Map the file now, so that it stays readable when a later generation removes it; FAISS reads it when needed."""
    try:
        data = np.asarray(np.memmap(path, np.uint8, "r"))
    except (OSError, ValueError) as error:
        raise Damaged(f"{str(path)!r} cannot be read ({error}). Run: retr check") from None
    return LazyAnn(data, path, kind, (rows, dim))


class LazyAnn:
    """A mapped FAISS file, read at the first search without copying its codes."""

    def __init__(self, data: NDArray[np.uint8], path: Path, kind: str, shape: tuple[int, int]) -> None:
        self._data, self._path, self._kind, self._shape = data, path, kind, shape
        self._ann: AnnIndex | None = None

    def get(self, width: int) -> AnnIndex:
        """The index, set to search `width` lists. Two threads may both read it the first time; that is harmless."""
        if self._ann is None:
            ann = self._read()
            ann.set_width(width)
            self._ann = ann
        return self._ann

    def _read(self) -> AnnIndex:
        reader = faiss().ZeroCopyIOReader(faiss().swig_ptr(self._data), len(self._data))
        try:
            ann = AnnIndex(faiss().read_index(reader, faiss().IO_FLAG_MMAP_IFC), self._kind)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise Damaged(f"{str(self._path)!r} is not a FAISS index ({reason}). Run: retr check") from None
        if (ann.index.ntotal, ann.index.d) != self._shape:
            raise Damaged(
                f"{str(self._path)!r} holds {ann.index.ntotal} vectors of {ann.index.d} numbers, not {self._shape[0]} "
                f"of {self._shape[1]}. Run: retr check"
            )
        return ann
