"""Parts written as one without their dead documents: tokens of one codec are copied, which loses nothing."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.fsio import Disk
from retr.index.late.arrays import GrowingArray
from retr.index.late.codec import Codec, Codes
from retr.index.late.kernels.arrays import Bytes, Rows, Tokens
from retr.index.late.part import LatePart, finish_part
from retr.index.late.planning import LISTED
from retr.index.late.storage import CODES, OFFSETS, RESIDUALS

_TOKENS = 1 << 17


def merge_parts(
    disk: Disk,
    folder: Path,
    parts: Sequence[tuple[LatePart, NDArray[np.bool_]]],
    codec: Codec,
    *,
    lists_from: int = LISTED,
) -> tuple[list[str], dict[str, Any]]:
    """Write the documents of some parts that are to be kept, a mask [documents] each, in order, into `folder`.

    Tokens of the same codec are copied, those of another one are decoded and coded anew. Gives the files' names and
    what they hold, as `write_part` does. Nothing is synced.
    """
    with ExitStack() as files:
        codes = files.enter_context(GrowingArray(disk, folder / CODES, "<u2", ())) if codec.coded else None
        residuals = files.enter_context(GrowingArray(disk, folder / RESIDUALS, "|u1", (codec.width,)))
        offsets = files.enter_context(GrowingArray(disk, folder / OFFSETS, "<i8", ()))
        offsets.append(np.zeros(1, np.int64))
        for part, keep in parts:
            for ends, places in pieces(part.tokens, np.flatnonzero(keep)):
                offsets.append(ends + residuals.rows)
                found, packed = _coded(part, places, codec)
                residuals.append(packed)
                if codes is not None:
                    codes.append(found)
        documents, tokens = offsets.rows - 1, residuals.rows
    return finish_part(disk, folder, codec, (documents, tokens), lists_from)


def _coded(part: LatePart, places: Rows, codec: Codec) -> tuple[Codes, Bytes]:
    """The codes and bytes of some of a part's tokens by `codec`."""
    if part.codec.key != codec.key:
        return codec.encode(part.codec.decode(part.tokens, places))
    codes = np.zeros(len(places), np.uint16) if part.tokens.codes is None else part.tokens.codes[places]
    return codes, part.tokens.residuals[places]


def pieces(tokens: Tokens, rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Some documents at a time: where each ends, counted from the first, and the places of their tokens."""
    if not len(rows):
        return
    lengths = tokens.offsets[rows + 1] - tokens.offsets[rows]
    cuts = np.flatnonzero(np.diff(np.cumsum(lengths) // _TOKENS)) + 1
    for some, sizes in zip(np.split(rows, cuts), np.split(lengths, cuts), strict=True):
        ends = np.cumsum(sizes)
        yield ends, np.arange(ends[-1]) + np.repeat(tokens.offsets[some] - (ends - sizes), sizes)
