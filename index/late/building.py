"""A codec and a part out of one stream of documents that is too large for memory: kept aside, sampled, then coded."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from retr.index.disk.fsio import Disk
from retr.index.late.arrays import GrowingArray
from retr.index.late.codec import Codec
from retr.index.late.part import write_part
from retr.index.late.settings import LateSettings
from retr.index.late.storage import check_block
from retr.index.late.training import Sample, train_codec
from retr.retrieval.embeddings import TokenVectors

ASIDE = "aside.npy"
"""Tokens as float16 [tokens, dim] until the codec is there; removed at the end."""
_DOCUMENTS = 256
_TOKENS = 1 << 15


def build_part(
    disk: Disk, folder: Path, blocks: Iterable[TokenVectors], settings: LateSettings
) -> tuple[Codec, list[str], dict[str, Any]]:
    """Train a codec on a sample of the stream and write all of it into `folder`; errors as `write_part` has them.

    The tokens wait on disk as float16, which moves them by a tenth of what 8 bits do. In memory are the sample, one
    block, and 8 bytes a document. The codec is given back, not saved. Nothing is synced.
    """
    sample, offsets = Sample(settings.sample_tokens, settings.seed), [np.zeros(1, np.int64)]
    aside = folder / ASIDE
    try:
        for block in _kept_aside(disk, aside, blocks):
            sample.take(block.values)
            offsets.append(block.offsets[1:] + (sample.seen - len(block.values)))
        codec = train_codec(sample.values, sample.seen, settings)
        del sample
        names, facts = write_part(disk, folder, _again(aside, np.concatenate(offsets)), codec)
    finally:
        disk.remove(aside)
    return codec, names, facts


def _kept_aside(disk: Disk, aside: Path, blocks: Iterable[TokenVectors]) -> Iterator[TokenVectors]:
    """The blocks, once they are checked and on disk."""
    documents = 0
    with ExitStack() as files:
        file: GrowingArray | None = None
        for block in blocks:
            file = file or files.enter_context(GrowingArray(disk, aside, "<f2", (block.dim,)))
            check_block(block, file.row[0], documents)
            file.append(block.values)
            documents += len(block)
            yield block


def _again(aside: Path, offsets: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[TokenVectors]:
    """The documents from disk, in blocks of some tokens."""
    values, first = np.load(aside, mmap_mode="r", allow_pickle=False), 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + _TOKENS, side="right")) - 1
        last = min(max(last, first + 1), first + _DOCUMENTS)
        ends = offsets[first : last + 1]
        yield TokenVectors(values[ends[0] : ends[-1]].astype(np.float32), ends - ends[0])
        first = last
