"""The tokens of one segment with their codec, as one folder: few are kept in 8 bits, many in as few as was chosen.

codec.json, centroids.npy    the codec; the same bytes in every segment that shares it
codes.npy, residuals.npy, …  the tokens, see `storage`

A small segment costs no training, and its tokens are near enough to what was given to be coded anew later. The first
segment of many tokens trains a codec on its own; later ones take that one, so that merging them copies codes.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.fsio import Disk
from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import Kernels
from retr.index.late.merging import merge_parts, pieces
from retr.index.late.part import LatePart, write_part
from retr.index.late.settings import LateSettings
from retr.index.late.training import SCANNED, Sample, raw_codec, train_codec
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput

Kept = Sequence[tuple[LatePart, NDArray[np.bool_]]]


def write_segment(
    disk: Disk,
    folder: Path,
    blocks: Sequence[TokenVectors],
    settings: LateSettings,
    known: Iterable[Codec] = (),
    *,
    few: int | None = None,
) -> tuple[list[str], dict[str, Any]]:
    """Write documents' tokens and their codec into an existing folder; gives the files' names and what they hold.

    `known` are the codecs of the other segments. Up to `few` tokens (300,000) are kept in 8 bits. Nothing is
    synced. Tokens need not be of length 1, as some may have been coded before: whoever takes them in checks that.
    """
    codec = chosen_codec(blocks, settings, known, few=SCANNED if few is None else few)
    names, facts = write_part(disk, folder, blocks, codec, unit=False)
    return [*names, *codec.save(disk, folder)], facts


def chosen_codec(blocks: Sequence[TokenVectors], settings: LateSettings, known: Iterable[Codec], *, few: int) -> Codec:
    """What documents' tokens are coded by: up to `few` in 8 bits, more by the first trained codec known, or a new one.

    BadInput where there are no tokens.
    """
    tokens = sum(len(block.values) for block in blocks)
    if not tokens:
        raise BadInput("There are no token vectors to write. Leave the segment's tokens out.")
    if tokens <= few:
        largest = max(float(np.abs(block.values).max(initial=0)) for block in blocks)
        return raw_codec(blocks[0].dim, largest, known)
    return _shared(known, settings) or train_codec(_sampled(blocks, settings), tokens, settings)


def keep_segment(disk: Disk, folder: Path, part: LatePart) -> tuple[list[str], dict[str, Any]]:
    """Write documents that are coded already as they are; otherwise as `write_segment`."""
    names, facts = merge_parts(disk, folder, [(part, np.ones(len(part), np.bool_))], part.codec)
    return [*names, *part.codec.save(disk, folder)], facts


def merge_segments(
    disk: Disk,
    folder: Path,
    sources: Kept,
    settings: LateSettings,
    known: Iterable[Codec] = (),
    *,
    few: int | None = None,
) -> tuple[list[str], dict[str, Any]]:
    """Write the documents of some segments that are to be kept, a mask each, in order; otherwise as `write_segment`."""
    tokens = sum(int(np.diff(part.tokens.offsets)[keep].sum()) for part, keep in sources)
    codecs = [part.codec for part, keep in sources if keep.any()]
    if not codecs:
        raise BadInput("Nothing of these segments is to be kept. Leave the merged one out.")
    coded = [codec for codec in codecs if codec.coded]
    if tokens <= (SCANNED if few is None else few) and not coded:
        codec = max(codecs, key=lambda one: one.unit)
    else:
        codec = _shared([*coded, *known], settings) or _trained(sources, tokens, settings)
    names, facts = merge_parts(disk, folder, sources, codec)
    return [*names, *codec.save(disk, folder)], facts


def open_segment(folder: Path, facts: Mapping[str, Any], kernels: Kernels) -> LatePart:
    """Map what was written. Damaged where the files do not fit each other or the facts."""
    return LatePart.open(folder, Codec.open(folder), facts, kernels)


def _shared(known: Iterable[Codec], settings: LateSettings) -> Codec | None:
    """The first trained codec of so many bits; None where there is none yet."""
    return next((codec for codec in known if codec.coded and codec.bits == settings.bits), None)


def _sampled(blocks: Iterable[TokenVectors], settings: LateSettings) -> NDArray[np.float32]:
    sample = Sample(settings.sample_tokens, settings.seed)
    for block in blocks:
        sample.take(unit(block.values))
    return sample.values


def _trained(sources: Kept, tokens: int, settings: LateSettings) -> Codec:
    """A codec of what is to be kept, as it is kept now."""
    sample = Sample(settings.sample_tokens, settings.seed)
    for part, keep in sources:
        for _, places in pieces(part.tokens, np.flatnonzero(keep)):
            sample.take(unit(part.codec.decode(part.tokens, places)))
    return train_codec(sample.values, tokens, settings)


def unit(values: Floats) -> Floats:
    """Tokens at length 1, from which coding has moved them a little."""
    lengths = np.sqrt(np.einsum("td,td->t", values, values))
    return np.asarray(values / np.maximum(lengths, 1e-12)[:, None])
