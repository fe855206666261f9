"""Some queries' tokens side by side on a device, with what is looked up for each centroid.

Each query is filled up with tokens of zeros to the length of the longest. Such a token's similarity with anything is 0,
so that it adds nothing to any sum, also where all other similarities are negative. Documents are never filled up.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from retr.index.late.gpu.arithmetic import kind_for, largest_similarities, multiply
from retr.index.late.gpu.resident import ResidentCodec, in_byte_order
from retr.index.late.kernels.arrays import Numbers

if TYPE_CHECKING:
    import torch

_STEP = 8
"""Query tokens are padded to a multiple of this, which CUDA's int8 products ask for."""
_BYTE, _WORD, _HIGHEST = 255, 0xFFFF, 16


def width_of(queries: Sequence[Numbers]) -> int:
    """Lanes that each of some queries takes."""
    return -(-max(len(numbers) for numbers in queries) // _STEP) * _STEP


class Lanes:
    """Queries of numbers from -127 to 127, int8 [tokens, dim] each; `width` lanes a query.

    `bound` is what no score's size passes, and `kind` floats that hold every similarity exactly. Levels and centroids
    are taken less 128; what that leaves out of a query's scores is its `shifts`, int64 [queries].
    """

    def __init__(self, queries: Sequence[Numbers], codec: ResidentCodec) -> None:
        import torch

        self.queries, self.width, self.codec = len(queries), width_of(queries), codec
        numbers = np.zeros((self.queries, self.width, codec.codec.dim), np.int8)
        for place, query in enumerate(queries):
            numbers[place, : len(query)] = query
        own = codec.codec
        bounds = largest_similarities(numbers, own.gain, own.zero, codec.longest, coded=own.bits != 8)
        self.kind, self.bound = kind_for(int(bounds.max(initial=0))), int(bounds.sum(axis=1).max(initial=0))
        flat = in_byte_order(numbers, own.bits).reshape(len(self), own.dim)
        self.numbers = torch.from_numpy(flat).to(codec.device)
        sums = (128 - own.zero) * numbers.sum(axis=(1, 2), dtype=np.int64)
        self.shifts = torch.from_numpy(sums).to(codec.device)

    def __len__(self) -> int:
        return self.queries * self.width

    @cached_property
    def products(self) -> "torch.Tensor":
        """Inner products with the centroids less 128: int32 [centroids, lanes]."""
        import torch

        return multiply(self.codec.way, self.codec.centroids, self.numbers, self.kind).to(torch.int32)

    @cached_property
    def bases(self) -> "torch.Tensor | None":
        """What a token's similarity has from its centroid, [centroids, lanes]; None with 8 bits."""
        codec = self.codec.codec
        return None if codec.bits == 8 else self.products.to(self.kind).mul_(codec.gain)

    @cached_property
    def table(self) -> "torch.Tensor":
        """The centroids' products as bytes, in float16, which holds them: [centroids, lanes]. As `Kernels.tables`."""
        import torch

        count = len(self.products)
        mean = torch.div(self.products.sum(dim=0, dtype=torch.int64), count, rounding_mode="floor")
        above = (self.products - mean.to(torch.int32)).clamp_(min=0).view(count, self.queries, self.width)
        span = above.amax(dim=(0, 2))
        steps = torch.arange(_HIGHEST, dtype=torch.int32, device=span.device)
        shift = ((span[:, None] >> steps) > _WORD).sum(dim=1, dtype=torch.int32)
        reach = span >> shift
        scale = torch.where(reach > 0, (_BYTE << 16) // reach.clamp(min=1), 0).to(torch.int32)
        above >>= shift[:, None]
        above *= scale[:, None]
        above += 1 << 15
        above >>= 16
        return above.to(torch.float16).view(count, len(self))
