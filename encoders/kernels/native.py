"""The compiled kernels: found, chosen for this processor, and run as a network. They may be missing."""

import ctypes
import os
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.encoders.reading.weights import Layer, Linear, Norm, Transformer
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

SETTING = "RETR_KERNELS"
OTHERS = ("scalar",)
"""Names that the setting has for late interaction's kernels alone; the encoder has none of these."""
ACTIVATIONS = {"gelu": 0, "gelu_new": 1, "gelu_pytorch_tanh": 1, "relu": 2}
TOKENS_A_RUN = 512
"""Tokens of one run where texts share runs: enough that the weights are read from memory once for many texts."""

Offsets = NDArray[np.int64]


class _Linear(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "scale")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
    )


class _Layer(ctypes.Structure):
    _fields_ = (("linears", _Linear * 6), ("norms", ctypes.c_void_p * 4))


_SIZES = ("dim", "wide", "heads", "layers", "words", "positions", "types", "activation", "reach", "half_attention")
_ARRAYS = ("word_rows", "word_scale", "position_rows", "type_rows", "relative", "norm_weight", "norm_bias")


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        ("epsilon", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
        ("layer", ctypes.POINTER(_Layer)),
    )


@cache
def library() -> Any:
    """The compiled library, or None where it was not built."""
    folder = Path(__file__).parent
    file = next((path for suffix in EXTENSION_SUFFIXES if (path := folder / f"_packed{suffix}").is_file()), None)
    if file is None:
        return None
    loaded = ctypes.CDLL(str(file))
    loaded.retr_kernels.restype = ctypes.c_char_p
    loaded.retr_open.restype = ctypes.c_void_p
    loaded.retr_open.argtypes = (ctypes.POINTER(_Model), ctypes.c_char_p)
    loaded.retr_run.argtypes = (*[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_void_p)
    loaded.retr_close.argtypes = (ctypes.c_void_p,)
    loaded.retr_close.restype = None
    return loaded


def kernels() -> tuple[str, ...]:
    """The instruction sets that were built and that this processor has, best first."""
    found: list[str] = []
    while library() is not None and (name := library().retr_kernels(len(found))) is not None:
        found.append(name.decode())
    return tuple(found)


def chosen() -> str:
    """The instruction set to use: the best one, the one that RETR_KERNELS names, or "" for none ("off", "scalar")."""
    asked, found = os.environ.get(SETTING, "").strip(), kernels()
    if asked in ("off", *OTHERS) or not (found or asked):
        return ""
    if asked and asked not in found:
        here = ", ".join((*found, *OTHERS))
        raise BadInput(f"{SETTING} is {asked!r}; this machine has {here}, and 'off' uses none. Unset it for the best.")
    return asked or found[0]


def takes(weights: Transformer) -> bool:
    """Whether the kernels can run a transformer of this shape."""
    return weights.activation in ACTIVATIONS and weights.dim % weights.heads == 0


@dataclass(slots=True, eq=False)
class NativeNetwork:
    """A transformer in the compiled kernels: texts of any lengths end to end, no padding, one thread a run.

    Activations in front of int8 weights are quantised token by token, so no text sees another. Safe to share between
    threads.
    """

    kernels: str
    dim: int
    segments: bool
    budget: int = TOKENS_A_RUN
    _handle: int = field(default=0, repr=False)
    _close: Any = field(default=None, repr=False)  # held here, since modules are emptied before the last objects go

    @property
    def handle(self) -> int:
        """The opened model, for other functions of the library; valid while this object lives."""
        return self._handle

    def __call__(self, ids: Ids, segments: Ids) -> Floats:
        """[texts, tokens] twice to [texts, tokens, dim]."""
        texts, tokens = ids.shape
        offsets = np.arange(0, (texts + 1) * tokens, tokens, dtype=np.int64)
        return self.packed(ids.reshape(-1), segments.reshape(-1), offsets).reshape(texts, tokens, self.dim)

    def packed(self, ids: Ids, segments: Ids, offsets: Offsets) -> Floats:
        """Texts end to end, ids and segments [tokens] with offsets [texts + 1], to states [tokens, dim]."""
        ids, segments = np.ascontiguousarray(ids, np.int64), np.ascontiguousarray(segments, np.int64)
        states = np.empty((len(ids), self.dim), np.float32)
        code = library().retr_run(
            self._handle,
            ids.ctypes.data,
            segments.ctypes.data if self.segments else None,
            offsets.ctypes.data,
            len(offsets) - 1,
            states.ctypes.data,
        )
        if code == 3:
            raise MemoryError(f"No memory for a run of {len(ids)} tokens.")
        if code:
            what = "a token or segment that the weights have no row for" if code == 1 else "more tokens than positions"
            raise BadInput(
                f"The model fails on a text with {what}. Its tokenizer and weights may be of two models; get it again."
            )
        return states

    def __del__(self) -> None:
        if self._handle and self._close is not None:
            self._close(self._handle)
            self._handle = 0


def open_native(weights: Transformer, *, segments: bool, kernels: str = "") -> NativeNetwork:
    """A transformer's network in the compiled kernels, on the instruction set `kernels` or the chosen one."""
    held: list[NDArray[Any]] = []

    def at(values: NDArray[Any] | None, dtype: Any = np.float32) -> int | None:
        if values is None:
            return None
        held.append(np.ascontiguousarray(values, dtype))
        return held[-1].ctypes.data

    layers = (_Layer * len(weights.layers))(*(_layer(layer, at) for layer in weights.layers))
    words, types = weights.words, weights.types
    given = _Model(
        dim=weights.dim,
        wide=weights.layers[0].up.weight.shape[1],
        heads=weights.heads,
        layers=len(weights.layers),
        words=len(words.values),
        positions=len(weights.positions),
        types=0 if types is None else len(types),
        activation=ACTIVATIONS[weights.activation],
        reach=0 if weights.relative is None else len(weights.relative) // 2,
        half_attention=any(linear.scale is not None for linear in weights.linears()),
        epsilon=weights.epsilon,
        word_rows=at(words.values, np.float32 if words.scale is None else np.int8),
        word_scale=at(words.scale),
        position_rows=at(weights.positions),
        type_rows=at(types),
        relative=at(weights.relative),
        norm_weight=at(weights.norm.weight),
        norm_bias=at(weights.norm.bias),
        layer=layers,
    )
    name = kernels or chosen()
    handle = library().retr_open(ctypes.byref(given), name.encode())
    if not handle:
        raise MemoryError(f"No memory for the model's weights in the kernels {name!r}.")
    return NativeNetwork(name, weights.dim, segments, _handle=handle, _close=library().retr_close)


def _layer(layer: Layer, at: Any) -> _Layer:
    norms: tuple[Norm, ...] = (layer.out_norm, layer.down_norm)
    return _Layer(
        (_Linear * 6)(*(_linear(one, at) for one in layer.linears())),
        (ctypes.c_void_p * 4)(*(at(values) for norm in norms for values in (norm.weight, norm.bias))),
    )


def _linear(linear: Linear, at: Any) -> _Linear:
    inputs, outputs = linear.weight.shape
    kind = np.float32 if linear.scale is None else np.int8
    return _Linear(at(linear.weight, kind), at(linear.bias), at(linear.scale), inputs, outputs)
