"""The compiled kernels of FILIP's tiles, called through ctypes: maxima and their gradients in one pass each.

They may be missing, and are left alone where RETR_KERNELS is "off": torch does their work, in several passes. They run
on one thread; the products, which are most of the work, are torch's.
"""

import ctypes
import os
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SETTING = "RETR_KERNELS"
_P = ctypes.c_void_p


class _Tile(ctypes.Structure):
    _fields_ = (
        *((name, _P) for name in ("products", "hidden", "of_images", "of_texts")),
        *((name, ctypes.c_int64) for name in ("images", "m", "n", "texts", "dim")),
    )


def library() -> Any:
    """The compiled library; None where it was not built or is not wanted."""
    return None if os.environ.get(SETTING, "").strip() == "off" else _library()


@cache
def _library() -> Any:
    folder = Path(__file__).parent
    file = next((path for suffix in EXTENSION_SUFFIXES if (path := folder / f"_tiles{suffix}").is_file()), None)
    if file is None:
        return None
    loaded = ctypes.CDLL(str(file))
    loaded.retr_tiles_kernels.restype = ctypes.c_char_p
    loaded.retr_tiles_means.argtypes = (ctypes.c_char_p, *(_P,) * 3)
    loaded.retr_tiles_learnt.argtypes = (ctypes.c_char_p, *(_P,) * 7)
    return loaded


def kernels() -> tuple[str, ...]:
    """The instruction sets that were built and that this processor has, best first; `any` runs on any."""
    found: list[str] = []
    while _library() is not None and (name := _library().retr_tiles_kernels(len(found))) is not None:
        found.append(name.decode())
    return tuple(found)


@cache
def _best() -> str:
    return kernels()[0]


def fits(numbers: Tensor) -> bool:
    """Whether the kernels take products of such numbers."""
    return numbers.device.type == "cpu" and numbers.dtype == torch.float32 and library() is not None


def means(found: Tensor, hidden: Tensor, share_left: Tensor, share_right: Tensor) -> tuple[Tensor, Tensor]:
    """Of products [images, m, n, texts], float32, each image's and each text's mean of greatest: [images, texts] both.

    `hidden` [n, texts] is added to each image's products: -inf where a text has no token. The shares, [images, m] and
    [n, texts], are what each token counts for.
    """
    made = found.new_empty(2, found.shape[0], found.shape[3])
    held = found, *(one.contiguous() for one in (hidden, share_left, share_right))
    _call("means", held, 0, made[0], made[1])
    return made[0], made[1]


def learnt(
    products: tuple[Tensor, Tensor],
    shares: tuple[Tensor, Tensor],
    gradients: tuple[Tensor, Tensor],
    tokens: tuple[Tensor, Tensor],
    into: Tensor,
) -> Tensor:
    """As the gradients of both means [images, texts] have it: adds to `into` what the images' tokens learn, in place.

    Gives what the texts' tokens learn: [n, texts, dim]. `products` are those and what is hidden, as `means` has them,
    and `tokens` what they were made of, rows of `dim`.
    """
    (found, hidden), (left, right) = products, tokens
    dim = left.shape[1]
    made = found.new_zeros(found.shape[2], found.shape[3], dim)
    held = found, *(one.contiguous() for one in (hidden, *shares))
    given = [one.contiguous() for one in (*gradients, left, right)]
    assert into.is_contiguous()
    _call("learnt", held, dim, *given, into, made)
    return made


def _call(name: str, held: tuple[Tensor, ...], dim: int, *given: Tensor) -> None:
    assert held[0].is_contiguous()
    tile = _Tile(*(one.data_ptr() for one in held), *held[0].shape, dim)
    kernels, places = _best().encode(), [one.data_ptr() for one in given]
    code = getattr(library(), f"retr_tiles_{name}")(kernels, ctypes.byref(tile), *places)
    if code == 2:
        raise MemoryError("No memory for the maxima of FILIP's loss.")
    assert code == 0, f"no kernels of the name {_best()!r}"
