"""A part's inverted lists as an index that a GPU can take: the same centroids, and every row in the list it was in.

4-bit codes have no place on a GPU (FAISS has them for 8 bits, or with cuVS). Their lists are filled with whole vectors
instead: searched as widely as the part's calibration says, such lists find what the codes find and what those miss.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.ann import AnnIndex
from retr.index.dense.engine import faiss
from retr.index.dense.gpu.memory import list_bytes
from retr.index.dense.storage import StoredVectors
from retr.index.dense.threads import building_threads
from retr.retrieval.errors import Damaged

_BLOCK = 65_536


class Lists:
    """The lists of one part, to be copied for a GPU; `scalar` ones keep their 8-bit codes."""

    def __init__(self, ann: AnnIndex, stored: StoredVectors) -> None:
        self._ivf = faiss().downcast_index(faiss().extract_index_ivf(ann.index))
        self._stored = stored
        self.scalar = isinstance(self._ivf, faiss().IndexIVFScalarQuantizer)

    def __len__(self) -> int:
        return int(self._ivf.nlist)

    def size(self, rows: int) -> int:
        """Bytes that so many rows take on a GPU."""
        dim = self._stored.dim
        return list_bytes(rows, dim, len(self), dim if self.scalar else 4 * dim)

    def of_rows(self) -> NDArray[np.int64]:
        """The list that each row is in; Damaged where one is in none."""
        found = np.full(len(self._stored), -1, np.int64)
        inverted = self._ivf.invlists
        for number in range(len(self)):
            count = inverted.list_size(number)
            if count:
                ids = inverted.get_ids(number)
                found[faiss().rev_swig_ptr(ids, count)] = number
                inverted.release_ids(number, ids)
        if np.any(found < 0):
            raise Damaged(f"{np.count_nonzero(found < 0)} rows of a part are in none of its lists. Run: retr check")
        return found

    def copy(self, start: int, stop: int) -> Any:
        """An index in the host's memory over the rows from start to stop, by their own numbers."""
        assigned = self.of_rows()
        index = self._empty()
        pointer = faiss().swig_ptr
        with building_threads(stop - start):
            for at in range(start, stop, _BLOCK):
                end = min(at + _BLOCK, stop)
                values = np.ascontiguousarray(self._stored.span(at, end))
                numbers, lists = np.arange(at, end, dtype=np.int64), np.ascontiguousarray(assigned[at:end])
                index.add_core(end - at, pointer(values), pointer(numbers), pointer(lists))
        return index

    def _empty(self) -> Any:
        dim, product = self._stored.dim, faiss().METRIC_INNER_PRODUCT
        quantizer = faiss().IndexFlatIP(dim)
        quantizer.add(faiss().downcast_index(self._ivf.quantizer).reconstruct_n(0, len(self)))
        if not self.scalar:
            return faiss().IndexIVFFlat(quantizer, dim, len(self), product)
        code, residual = self._ivf.sq, self._ivf.by_residual
        index = faiss().IndexIVFScalarQuantizer(quantizer, dim, len(self), code.qtype, product, residual)
        index.sq, index.is_trained = code, True
        return index
