"""Parts of several codecs as one index: what is new is kept in 8 bits without training, what was merged in fewer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retr.index.exact import padded
from retr.index.late.index import Alignment, Allowed, LateIndex
from retr.index.late.kernels.arrays import Kernels, Rows
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.part import LatePart
from retr.index.late.settings import Effort
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Matches

if TYPE_CHECKING:
    from retr.index.dense.gpu import Device
    from retr.index.late.gpu.accelerated import AcceleratedIndex
    from retr.index.late.gpu.placing import Place


class MixedIndex:
    """MaxSim over parts in their order, each with its own codec; documents are counted through.

    Each codec's parts are searched by themselves for k documents. Scores of different codecs are compared as they are:
    both stand for the same similarities, each with the rounding of its codec. Parts are moved to the device if that can
    be, and those on one GPU are then searched by themselves too; `placement` says where each is, or why not there.
    """

    def __init__(
        self, parts: Sequence[LatePart], kernels: Kernels | None = None, device: "Device | None" = None
    ) -> None:
        if len({part.codec.dim for part in parts}) > 1:
            raise Mismatch("The parts of one index need tokens of one dim. Make the index again with one encoder.")
        engine = kernels or chosen_kernels()
        places = _places(parts, device)
        self.placement = [place.where if place else "CPU" for place in places]
        starts = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
        self._size = int(starts[-1])
        self._indexes: list[LateIndex] = []
        self._searched: list[LateIndex | AcceleratedIndex] = []
        self._rows: list[Rows] = []  # of the documents of each, rising
        self._owner = np.zeros(self._size, np.int64)
        keys = [(part.codec.key, place.gpu if place else None) for part, place in zip(parts, places, strict=True)]
        for key in dict.fromkeys(keys):
            own = [number for number, other in enumerate(keys) if other == key]
            rows = np.concatenate([np.arange(starts[number], starts[number + 1]) for number in own])
            self._owner[rows] = len(self._indexes)
            index = LateIndex(parts[own[0]].codec, [parts[number] for number in own], engine)
            self._indexes.append(index)
            self._searched.append(_searched(index, [places[number] for number in own]))
            self._rows.append(rows)

    def __len__(self) -> int:
        return self._size

    @property
    def dim(self) -> int:
        """Numbers in a token's vector. BadInput where there is none."""
        if not self._indexes:
            raise BadInput("The index is empty; there are no vectors to give.")
        return self._indexes[0].dim

    @property
    def token_count(self) -> int:
        """Tokens of all documents."""
        return sum(index.token_count for index in self._indexes)

    def search(
        self,
        queries: Embeddings,
        k: int,
        allowed: Allowed | None = None,
        *,
        exact: bool = False,
        effort: Effort | None = None,
    ) -> Matches:
        """The k best allowed documents a query, as `LateIndex.search` finds them."""
        return self.search_explained(queries, k, allowed, exact=exact, effort=effort)[0]

    def search_explained(
        self,
        queries: Embeddings,
        k: int,
        allowed: Allowed | None = None,
        *,
        exact: bool = False,
        effort: Effort | None = None,
    ) -> tuple[Matches, list[dict[str, Any]]]:
        """What `search` gives, and how each codec's parts in each place were searched and why."""
        if allowed is not None and len(allowed) != len(self):
            raise Mismatch(f"The filter covers {len(allowed)} documents; the index has {len(self)}.")
        scores, rows = [np.empty((len(queries), 0), np.float32)], [np.empty((len(queries), 0), np.int64)]
        plans: list[dict[str, Any]] = []
        for index, own in zip(self._searched, self._rows, strict=True):
            here = None if allowed is None else allowed[own]
            matches, plan = index.search_explained(queries, k, here, exact=exact, effort=effort)
            found = matches.rows >= 0
            scores.append(matches.scores)
            rows.append(np.where(found, own[np.where(found, matches.rows, 0)] if len(own) else -1, -1))
            plans.append({"part": len(plans), **plan})
        whole = padded(np.concatenate(scores, axis=1), np.concatenate(rows, axis=1), k)
        return Matches(whole.scores[:, :k], whole.rows[:, :k]), plans

    def scores(self, query: Floats, rows: Rows) -> Floats:
        """MaxSim of one query, float32 [tokens, dim], with some documents, in the order given: float32 [rows]."""
        out = np.empty(len(rows), np.float32)
        for number, here, own in self._owners(rows):
            out[here] = self._indexes[number].scores(query, own)
        return out

    def align(self, query: Floats, rows: Sequence[int]) -> list[Alignment]:
        """What each token of one query, float32 [tokens, dim], matches in some documents."""
        found: dict[int, Alignment] = {}
        for number, here, own in self._owners(np.asarray(rows, np.int64)):
            found |= zip(here.tolist(), self._indexes[number].align(query, own.tolist()), strict=True)
        return [found[place] for place in range(len(rows))]

    def vectors(self, rows: Rows) -> TokenVectors:
        """Some documents' tokens as they are kept, decoded, in the order given."""
        found: list[Floats] = [np.empty((0, self.dim), np.float32)] * len(rows)
        for number, here, own in self._owners(rows):
            for place, tokens in zip(here.tolist(), self._indexes[number].vectors(own), strict=True):
                found[place] = tokens
        values = np.concatenate([np.empty((0, self.dim), np.float32), *found])
        return TokenVectors(values, np.cumsum([0, *(len(one) for one in found)]).astype(np.int64))

    def _owners(self, rows: Rows) -> list[tuple[int, Rows, Rows]]:
        """By codec: its number, which of `rows` are its, and what it counts them as."""
        owner = self._owner[rows]
        numbers = np.unique(owner).tolist()
        places: list[NDArray[np.int64]] = [np.flatnonzero(owner == number) for number in numbers]
        return [
            (number, here, np.searchsorted(self._rows[number], rows[here]))
            for number, here in zip(numbers, places, strict=True)
        ]


def _places(parts: Sequence[LatePart], device: "Device | None") -> "list[Place | None]":
    """Where each part is searched; None where no GPU was asked for."""
    if device is None or not device.gpus:
        return [None] * len(parts)
    from retr.index.late.gpu.placing import placed

    return [placed(part, device) for part in parts]


def _searched(index: LateIndex, places: "list[Place | None]") -> "LateIndex | AcceleratedIndex":
    """The index on the GPU that its parts lie on, if they lie on one."""
    tokens = [place.tokens for place in places if place is not None and place.tokens is not None]
    if not tokens or places[0] is None or places[0].gpu is None:
        return index
    from retr.index.late.gpu.accelerated import AcceleratedIndex

    return AcceleratedIndex(index, tokens, places[0].gpu)
