"""The coded tokens of one part on disk: written as they come, read through memory maps.

codes.npy        uint16 [tokens], the centroid and table of levels of each; absent where the codec has none
residuals.npy    uint8 [tokens, dim * bits / 8]
offsets.npy      int64 [documents + 1]: document n has the tokens offsets[n] to offsets[n + 1]
lists.npy        int32 [entries], list-starts.npy int64 [centroids + 1]: the documents of each centroid, in large parts
"""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from retr.index.disk.fsio import Disk
from retr.index.late.arrays import GrowingArray, mapped
from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import Tokens
from retr.index.late.training import check_unit
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput, Damaged, Mismatch

CODES, RESIDUALS, OFFSETS = "codes.npy", "residuals.npy", "offsets.npy"


def write_tokens(
    disk: Disk, folder: Path, blocks: Iterable[TokenVectors], codec: Codec, *, unit: bool = True
) -> tuple[int, int]:
    """Code blocks of documents into an existing folder; gives how many documents and tokens. Syncs nothing.

    BadInput where a document has no token, or with `unit` a token's vector is not of length 1; Mismatch for another
    dim.
    """
    with ExitStack() as files:
        codes = files.enter_context(GrowingArray(disk, folder / CODES, "<u2", ())) if codec.coded else None
        residuals = files.enter_context(GrowingArray(disk, folder / RESIDUALS, "|u1", (codec.width,)))
        offsets = files.enter_context(GrowingArray(disk, folder / OFFSETS, "<i8", ()))
        offsets.append(np.zeros(1, np.int64))
        for block in blocks:
            check_block(block, codec.dim, offsets.rows - 1, unit=unit)
            offsets.append(block.offsets[1:] + residuals.rows)
            found, packed = codec.encode(block.values)
            residuals.append(packed)
            if codes is not None:
                codes.append(found)
        return offsets.rows - 1, residuals.rows


def check_block(block: TokenVectors, dim: int, before: int, *, unit: bool = True) -> None:
    """Refuse what cannot be searched: a document without tokens, tokens of another dim or of another length than 1."""
    if block.dim != dim:
        raise Mismatch(
            f"The index holds tokens of {dim} numbers; these have {block.dim}. Use the encoder it was made with."
        )
    empty = np.flatnonzero(np.diff(block.offsets) == 0)
    if len(empty):
        raise BadInput(f"Document {before + int(empty[0])} has no token vectors. Leave it out, or give it a text.")
    if unit:
        check_unit(block.values)


def open_tokens(folder: Path, documents: int, tokens: int, codec: Codec) -> Tokens:
    """Map the files. Damaged where they do not hold these documents and tokens, or name what is not there."""
    offsets = mapped(folder / OFFSETS, "<i8", (documents + 1,))
    residuals = mapped(folder / RESIDUALS, "|u1", (tokens, codec.width))
    codes = mapped(folder / CODES, "<u2", (tokens,)) if codec.coded else None
    if offsets[0] != 0 or offsets[-1] != tokens or (np.diff(offsets) < 1).any():
        raise Damaged(
            f"{str(folder / OFFSETS)!r} does not cut {tokens} tokens into {documents} documents. Run: retr check"
        )
    # Kernels check nothing: a code beyond the centroids would be read from other memory.
    if codes is not None and tokens and int(codes.max()) >= len(codec.centroids) * len(codec.levels):
        raise Damaged(f"{str(folder / CODES)!r} names a centroid that the codec has not. Run: retr check")
    return Tokens(codes, residuals, offsets, codec.levels, codec.bits)
