"""Parts of one codec written as one, without their dead documents: tokens are copied as coded, which loses nothing."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.fsio import Disk
from retr.index.late.arrays import GrowingArray
from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import Rows, Tokens
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

    Gives the files' names and what they hold, as `write_part` does. Nothing is synced.
    """
    with ExitStack() as files:
        codes = files.enter_context(GrowingArray(disk, folder / CODES, "<u2", ())) if codec.coded else None
        residuals = files.enter_context(GrowingArray(disk, folder / RESIDUALS, "|u1", (codec.width,)))
        offsets = files.enter_context(GrowingArray(disk, folder / OFFSETS, "<i8", ()))
        offsets.append(np.zeros(1, np.int64))
        for part, keep in parts:
            for ends, places in _pieces(part.tokens, np.flatnonzero(keep)):
                offsets.append(ends + residuals.rows)
                residuals.append(part.tokens.residuals[places])
                if codes is not None and part.tokens.codes is not None:
                    codes.append(part.tokens.codes[places])
        documents, tokens = offsets.rows - 1, residuals.rows
    return finish_part(disk, folder, codec, (documents, tokens), lists_from)


def _pieces(tokens: Tokens, rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Some documents at a time: where each ends, counted from the first, and the places of their tokens."""
    if not len(rows):
        return
    lengths = tokens.offsets[rows + 1] - tokens.offsets[rows]
    cuts = np.flatnonzero(np.diff(np.cumsum(lengths) // _TOKENS)) + 1
    for some, sizes in zip(np.split(rows, cuts), np.split(lengths, cuts), strict=True):
        ends = np.cumsum(sizes)
        yield ends, np.arange(ends[-1]) + np.repeat(tokens.offsets[some] - (ends - sizes), sizes)
