"""The kernels' run of texts that see more than themselves: a context kept from an earlier run, or each other."""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from retr.encoders.kernels.native import NativeNetwork, Offsets, library
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

CODES = {1: "a token or segment that the weights have no row for", 2: "more tokens than positions"}


class _Rows(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("ids", "segments", "positions", "offsets")),
        *((name, ctypes.c_int64) for name in ("texts", "kept_tokens", "arrow")),
        *((name, ctypes.c_void_p) for name in ("kept", "record", "states")),
    )


@dataclass(frozen=True, slots=True, eq=False)
class TextsOfRows:
    """Texts end to end: tokens, segments and positions, int64 [tokens], with offsets [texts + 1]."""

    ids: Ids
    segments: Ids
    positions: Ids
    offsets: Offsets


@dataclass(frozen=True, slots=True, eq=False)
class RowKernels:
    """Runs of an opened network. Keys and values of a text are float32 [layers, its tokens, 2 x dim]."""

    network: NativeNetwork
    layers: int

    def read(self, texts: TextsOfRows) -> tuple[Floats, Floats]:
        """States [tokens, dim] of texts that see themselves alone, and their keys and values."""
        kept = np.empty((self.layers, len(texts.ids), 2 * self.network.dim), np.float32)
        return self._run(texts, record=kept), kept

    def after(self, texts: TextsOfRows, kept: Floats) -> Floats:
        """States [tokens, dim] of texts that see themselves and what `read` kept of one context."""
        return self._run(texts, kept=kept)

    def arrow(self, texts: TextsOfRows) -> Floats:
        """States [tokens, dim] where the first text sees all others, and each of them itself and the first."""
        return self._run(texts, arrow=True)

    def _run(
        self, texts: TextsOfRows, *, kept: Floats | None = None, record: Floats | None = None, arrow: bool = False
    ) -> Floats:
        states = np.empty((len(texts.ids), self.network.dim), np.float32)
        held = [np.ascontiguousarray(part, np.int64) for part in (texts.ids, texts.positions, texts.offsets)]
        segments = np.ascontiguousarray(texts.segments, np.int64)
        given = _Rows(
            held[0].ctypes.data,
            segments.ctypes.data if self.network.segments else None,
            held[1].ctypes.data,
            held[2].ctypes.data,
            len(texts.offsets) - 1,
            0 if kept is None else kept.shape[1],
            int(arrow),
            None if kept is None else kept.ctypes.data,
            None if record is None else record.ctypes.data,
            states.ctypes.data,
        )
        code: int = _function()(self.network.handle, ctypes.byref(given))
        if code == 3:
            raise MemoryError(f"No memory for a run of {len(texts.ids)} tokens.")
        if code:
            raise BadInput(f"The model fails on a text with {CODES[code]}. Get its tokenizer and weights again.")
        return states


def takes_rows(weights: Transformer) -> bool:
    """Whether the kernels that were built can run such texts: not with a bias by relative position."""
    return weights.relative is None and hasattr(library(), "retr_run_rows")


def _function() -> Any:
    function = library().retr_run_rows
    function.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Rows))
    return function
