"""Whether vectors fit on the GPUs before they are moved: what they take, and what CUDA says is free."""

import ctypes
import os
from collections.abc import Callable

from retr.index.dense.gpu.cards import is_used

_RUNTIMES = ("libcudart.so.13", "libcudart.so.12")
_ROW_NUMBER = 8
_LIST_GROUP = 32
"""FAISS lays the rows of a list out in groups of so many, the last one padded."""
_GRAPH_DEGREES = 128 + 64
"""CAGRA's neighbours a row, of 4 bytes each, while its graph is built: those before pruning and those kept."""
_GIB = 1 << 30


def flat_bytes(rows: int, dim: int) -> int:
    """What float32 vectors take."""
    return 4 * rows * dim


def graph_bytes(rows: int, dim: int) -> int:
    """What CAGRA takes at least while it is built."""
    return flat_bytes(rows, dim) + 4 * rows * _GRAPH_DEGREES


def list_bytes(rows: int, dim: int, lists: int, code: int) -> int:
    """What lists of codes of so many bytes take, with their row numbers, their padding at most, and the centroids."""
    padded = rows + lists * (_LIST_GROUP - 1)
    return padded * code + rows * _ROW_NUMBER + flat_bytes(lists, dim)


def scratch_bytes(total: int) -> int:
    """What FAISS sets aside on a GPU of so many bytes at its first use there."""
    return _GIB // 2 if total <= 4 * _GIB else _GIB if total <= 8 * _GIB else _GIB * 3 // 2


def shortage(needed: dict[int, int]) -> str:
    """Why so many bytes a GPU do not fit; empty where they do, or where CUDA cannot be asked."""
    for gpu, size in needed.items():
        found = device_memory(gpu)
        if found is None:
            continue
        free, total = found
        size += 0 if is_used(gpu) else scratch_bytes(total)
        if size > free:
            return (
                f"the vectors need {_told(size)} of GPU {gpu}, which has {_told(free)} free; free some, spread them "
                f"over more GPUs (cuda:0,1), or index with kind ivf-sq8, which takes a quarter"
            )
    return ""


def device_memory(gpu: int) -> tuple[int, int] | None:
    """Bytes free and in all on a GPU as FAISS numbers it; None where no CUDA runtime is loaded or it fails."""
    runtime = _runtime()
    if runtime is None:
        return None
    before, free, total = ctypes.c_int(0), ctypes.c_size_t(0), ctypes.c_size_t(0)
    steps: list[Callable[[], int]] = [
        lambda: int(runtime.cudaGetDevice(ctypes.byref(before))),
        lambda: int(runtime.cudaSetDevice(ctypes.c_int(gpu))),
        lambda: int(runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))),
    ]
    failed = any(step() for step in steps)
    runtime.cudaSetDevice(before)
    if failed:
        runtime.cudaGetLastError()  # CUDA keeps an error until somebody asks, and FAISS would take it for its own.
        return None
    return free.value, total.value


def _runtime() -> ctypes.CDLL | None:
    """The CUDA runtime that FAISS has loaded: only that one numbers GPUs as FAISS does."""
    for name in _RUNTIMES:
        try:
            return ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_NOLOAD)
        except (OSError, AttributeError):  # Not loaded; or not Linux, where FAISS has no GPU.
            continue
    return None


def _told(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
