"""A part's tokens and its codec on a device, byte for byte as they are stored."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from retr.index.late.codec import Codec
from retr.index.late.gpu.arithmetic import Way
from retr.index.late.gpu.chunks import Chunk
from retr.index.late.kernels.arrays import Numbers, Rows
from retr.index.late.part import LatePart

if TYPE_CHECKING:
    import torch

_BLOCK = 1 << 26
"""Bytes of a file that are read and sent together."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ResidentCodec:
    """A codec on a device. `centroids` less 128, int8 [centroids, dim]; `levels` of every table's bytes (None: 8 bits).

    Numbers of a vector stand in the order that `in_byte_order` gives. No centroid less 128 is longer than `longest`.
    """

    codec: Codec
    device: "torch.device"
    way: Way
    centroids: "torch.Tensor"
    levels: "torch.Tensor | None"
    longest: float


def in_byte_order(numbers: Numbers, bits: int) -> Numbers:
    """Numbers [..., dim] in the order in which a token's bytes give them.

    A byte holds 8 / bits numbers that lie far apart in the vector. They are taken as they come out of it, side by side,
    and the other side of each product is brought into that order.
    """
    planes = 8 // bits
    split = numbers.reshape(*numbers.shape[:-1], planes, numbers.shape[-1] // planes)
    return np.ascontiguousarray(np.swapaxes(split, -1, -2).reshape(numbers.shape))


_codecs: "WeakValueDictionary[tuple[str, str], ResidentCodec]" = WeakValueDictionary()


def resident_codec(codec: Codec, device: "torch.device", way: Way) -> ResidentCodec:
    """The codec on the device, moved once for all parts that have it."""
    import torch

    key = codec.key, str(device)
    known = _codecs.get(key)
    if known is not None and known.way == way:
        return known
    centred = codec.centroids.astype(np.int16) - 128
    lengths = np.sqrt(np.square(centred.astype(np.float64)).sum(axis=1))
    centroids = torch.from_numpy(in_byte_order(centred.astype(np.int8), codec.bits)).to(device)
    made = ResidentCodec(codec, device, way, centroids, _levels(codec, device), float(lengths.max(initial=0)))
    _codecs[key] = made
    return made


def _levels(codec: Codec, device: "torch.device") -> "torch.Tensor | None":
    """The levels less 128 that a byte stands for, as one number of 16 or 32 bits: [tables * 256]."""
    import torch

    if codec.bits == 8:
        return None
    shifts = np.arange(0, 8, codec.bits)
    planes = (np.arange(256)[:, None] >> shifts) & ((1 << codec.bits) - 1)
    levels = np.ascontiguousarray((codec.levels.astype(np.int16)[:, planes] - 128).astype(np.int8))
    return torch.from_numpy(levels.view(f"<i{8 // codec.bits}").reshape(-1).copy()).to(device)


@dataclass(frozen=True, slots=True, eq=False)
class Resident:
    """A part's tokens on a device: `codes` int16 [tokens] or None, `stored` [tokens, width], `offsets` int64.

    Codes are their bits, without a sign. With 8 bits `stored` is the numbers less 128, int8; with 4 and 2 bits it is
    the bytes of the file.
    """

    codec: ResidentCodec
    codes: "torch.Tensor | None"
    stored: "torch.Tensor"
    offsets: "torch.Tensor"
    ends: Rows
    """The same offsets on the host."""

    def __len__(self) -> int:
        return len(self.ends) - 1

    def levels(self, places: "slice | torch.Tensor") -> "torch.Tensor":
        """Some tokens' levels less 128, int8 [places, dim], in their bytes' order."""
        import torch

        table, stored = self.codec.levels, _taken(self.stored, places)
        if table is None:
            return stored
        chosen = stored.to(torch.int32)
        if self.codes is not None:
            chosen += (_taken(self.codes, places).to(torch.int32) & len(self.codec.codec.levels) - 1)[:, None] * 256
        wide = table.index_select(0, chosen.reshape(-1))
        return wide.view(len(stored), -1).view(torch.int8)

    def centroids(self, places: "slice | torch.Tensor") -> "torch.Tensor":
        """The centroids of some tokens: int32 [places]."""
        import torch

        assert self.codes is not None
        shift = len(self.codec.codec.levels).bit_length() - 1
        return (_taken(self.codes, places).to(torch.int32) & 0xFFFF) >> shift

    def pieces(self, chunk: Chunk, ends: Rows, rows: Rows | None) -> tuple["slice | torch.Tensor", "torch.Tensor"]:
        """Where the tokens of a chunk of some documents (None: all) lie, and where in the chunk each document ends.

        `ends` are those of the documents among themselves. Places are int64 [tokens], ends int64 [documents + 1].
        """
        import torch

        if rows is None:
            here = self.offsets[chunk.first : chunk.last + 1] - chunk.start
            return slice(chunk.start, chunk.stop), here.clamp_(0, len(chunk))
        cuts = np.clip(ends[chunk.first : chunk.last + 1] - chunk.start, 0, len(chunk))
        begun = np.maximum(chunk.start - ends[chunk.first : chunk.last], 0)
        shifts = self.ends[rows[chunk.first : chunk.last]] + begun - cuts[:-1]
        device = self.codec.device
        sizes, moved = (torch.from_numpy(one).to(device) for one in (np.diff(cuts), shifts))
        places = torch.repeat_interleave(moved, sizes, output_size=len(chunk))
        places += torch.arange(len(chunk), device=device)
        return places, torch.from_numpy(cuts).to(device)


def _taken(values: "torch.Tensor", places: "slice | torch.Tensor") -> "torch.Tensor":
    return values[places] if isinstance(places, slice) else values.index_select(0, places)


def moved(part: LatePart, codec: ResidentCodec) -> Resident:
    """The part's tokens on its codec's device; RuntimeError where that has no room."""
    import torch

    tokens, device = part.tokens, codec.device
    eight = codec.codec.bits == 8
    stored = _sent(tokens.residuals, torch.int8 if eight else torch.uint8, device, flip=eight)
    codes = None if tokens.codes is None else _sent(tokens.codes, torch.int16, device)
    ends = np.array(tokens.offsets)
    return Resident(codec, codes, stored, torch.from_numpy(ends).to(device), ends)


def _sent(values: NDArray[Any], kind: "torch.dtype", device: "torch.device", *, flip: bool = False) -> "torch.Tensor":
    """An array on the device, bits unchanged but, with `flip`, for each byte's highest, which takes 128 off it."""
    import torch

    out = torch.empty(values.shape, dtype=kind, device=device)
    rows = max(1, _BLOCK // max(1, values.nbytes // max(1, len(values))))
    signed = np.dtype(f"<i{values.itemsize}") if kind != torch.uint8 else values.dtype
    for at in range(0, len(values), rows):
        block = values[at : at + rows] ^ np.uint8(128) if flip else np.array(values[at : at + rows])
        out[at : at + rows] = torch.from_numpy(block.view(signed))
    return out
