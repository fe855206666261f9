"""Products of whole numbers that are exact on a device: by int8 products where it has them, or floats wide enough.

Sums of whole numbers below 2**24 are exact in float32, and below 2**53 in float64, whatever their order: the same rule
as in `kernels.reference`. Whether a device keeps to it is tried with the largest numbers there are before it is used.
"""

from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from retr.index.late.kernels.arrays import Numbers

if TYPE_CHECKING:
    import torch

Way = Literal["int8", "float"]

FLOAT32, FLOAT64 = 1 << 24, 1 << 53
_FEWEST = 16
"""CUDA's int8 products take more rows than so many."""
_ALIGNED = 256
"""They may also read their operands in steps that need addresses of this multiple, which a new tensor has there."""


def kind_for(bound: int) -> "torch.dtype":
    """The narrowest floats that hold every whole number up to `bound`."""
    import torch

    assert bound < FLOAT64, "a codec's similarities fit into 31 bits"
    return torch.float32 if bound < FLOAT32 else torch.float64


def multiply(way: Way, levels: "torch.Tensor", numbers: "torch.Tensor", kind: "torch.dtype") -> "torch.Tensor":
    """Products of int8 [tokens, dim] with int8 [lanes, dim] as `kind` [tokens, lanes], whose bounds they must keep."""
    import torch

    if way == "float":
        return levels.to(kind) @ numbers.to(kind).t()
    if len(levels) > _FEWEST:
        return torch._int_mm(_aligned(levels), _aligned(numbers).t()).to(kind)
    return (levels.double() @ numbers.double().t()).to(kind)


def _aligned(values: "torch.Tensor") -> "torch.Tensor":
    return values.clone() if values.data_ptr() % _ALIGNED else values


@cache
def exact_way(device: "torch.device", dim: int) -> Way | None:
    """The faster way whose products are exact on the device; None where neither's are."""
    ways: tuple[Way, ...] = ("int8", "float")
    return next((way for way in ways if _is_exact(way, device, dim)), None)


def _is_exact(way: Way, device: "torch.device", dim: int) -> bool:
    import torch

    levels, numbers = _largest(dim)
    expected = levels.astype(np.int64) @ numbers.astype(np.int64).T
    kind = kind_for(128 * int(np.abs(numbers.astype(np.int64)).sum(axis=1).max()))
    try:
        tokens, lanes = torch.from_numpy(levels).to(device), torch.from_numpy(numbers).to(device)
        tried = [(multiply(way, tokens, lanes[:count], kind).cpu(), expected[:, :count]) for count in (8, len(lanes))]
        return all(np.array_equal(found.numpy(), true) for found, true in tried)
    except RuntimeError:  # This device, or this build of torch, has no such products of this dim.
        return False


def _largest(dim: int) -> tuple[Numbers, Numbers]:
    """Levels and query tokens whose products come as near to what float32 holds as can be, and random ones."""
    random = np.random.default_rng(dim)
    levels = random.integers(-128, 128, (64, dim), np.int8)
    numbers = random.integers(-127, 128, (16, dim), np.int8)
    levels[0], levels[1], levels[2] = -128, 127, np.resize(np.array([-128, 127], np.int8), dim)
    numbers[0], numbers[1], numbers[2] = 127, -127, np.resize(np.array([127, -127], np.int8), dim)
    numbers[:, FLOAT32 // (128 * 127) - 1 :] = 0
    return levels, numbers


def largest_similarities(numbers: Numbers, gain: int, zero: int, longest: float, *, coded: bool) -> NDArray[np.int64]:
    """What no similarity with a query token passes, int64 [...], for numbers int8 [..., dim].

    A level is within 128 of zero here, and a centroid's vector no longer than `longest` (less where `coded` is not so).
    """
    wide = numbers.astype(np.int64)
    sizes = np.abs(wide).sum(axis=-1)
    bound = 128 * sizes + abs(128 - zero) * np.abs(wide.sum(axis=-1))
    if coded:
        lengths = np.sqrt((wide * wide).sum(axis=-1, dtype=np.float64))
        bound += gain * np.minimum(128 * sizes, np.ceil(lengths * longest).astype(np.int64) + 1)
    return np.asarray(bound)
