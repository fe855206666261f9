"""Several neighbouring segments written as one, without their dead documents: size-tiered, so each row moves rarely.

Only neighbours are merged, so keys keep rising with rows, and postings, which know passages by key, need no change.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.parts import write_part
from retr.index.disk.fsio import Disk
from retr.index.disk.manifest import Manifest, Segment, placed
from retr.index.disk.segments import OpenSegment, SegmentWriter, known_codecs

FAN_OUT = 4
SMALLEST_ROWS = 1024
"""So many neighbours of one tier are merged; those below SMALLEST_ROWS are the first tier, and each further tier is
FAN_OUT times as large. A query pays for every segment, a row is written once more for every tier: four is cheap for
both, since encoding a row costs a thousand times as much as writing it."""

DEAD_SHARE, DEAD_DOCUMENTS = 0.3, 1000
"""A segment is written anew when this share of its documents is dead, and they are not few."""

SMALL_ROWS = 8192
"""Merges up to this many rows are done within the commit that makes them due; larger ones beside the writer."""

_TOKENS_A_ROW = 32
"""So many token vectors are as much work to merge as a row: 8,192 rows of them stay below those that train a codec."""

_BLOCK_ROWS = 65_536


Report = Callable[[str, int, int], None]
"""Told how a long piece of work goes on: what is written, how much of it is done, and how much there is."""


def in_silence(what: str, done: int, total: int) -> None:
    """The report of who does not want one."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring segments of a manifest: from `start` up to, not including, `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """The segment that takes the place of others (None when all their documents are dead), and which it kept."""

    sources: tuple[str, ...]
    segment: Segment | None
    kept: NDArray[np.bool_]


def due(segments: Sequence[Segment], dead: NDArray[np.bool_]) -> Run | None:
    """The neighbours to merge next; None when all is in order. `dead` [documents] is over all segments."""
    tiers = [_tier(segment.rows) for segment in segments]
    for tier in sorted(set(tiers)):
        start = 0
        for end in range(len(tiers) + 1):
            if end == len(tiers) or tiers[end] > tier:
                # Smaller ones among them come along, but are no reason to write a large one again.
                if tiers[start:end].count(tier) >= FAN_OUT:
                    return Run(start, end)
                start = end + 1
    for at, segment in enumerate(segments):
        gone = int(np.count_nonzero(dead[segment.first_document : segment.first_document + segment.documents]))
        if gone >= DEAD_DOCUMENTS and gone >= DEAD_SHARE * segment.documents:
            return Run(at, at + 1)
    return None


def weight(segment: Segment) -> int:
    """What it takes to merge a segment, in rows."""
    return max(segment.rows, int(segment.late.get("tokens", 0)) // _TOKENS_A_ROW)


def _tier(rows: int) -> int:
    tier = 0
    while rows >= SMALLEST_ROWS:
        rows //= FAN_OUT
        tier += 1
    return tier


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A run of a generation to be written as the segment `name`; `dead` [documents] is over the whole generation.

    Passages keep their keys, or count on from `first_key` where the postings are made anew as well.
    """

    manifest: Manifest
    run: Run
    dead: NDArray[np.bool_]
    name: str
    first_key: int | None = None
    report: Report = in_silence


def merge(disk: Disk, folder: Path, job: Job) -> Merged:
    """Write the living documents of a run as one segment, durable but not yet named by any manifest."""
    manifest, dead, first_key = job.manifest, job.dead, job.first_key
    sources = [OpenSegment(folder, segment, manifest.dim) for segment in manifest.segments[job.run.start : job.run.end]]
    kept = [
        ~dead[source.facts.first_document : source.facts.first_document + source.facts.documents] for source in sources
    ]
    names = tuple(source.facts.name for source in sources)
    if not any(keep.any() for keep in kept):
        return Merged(names, None, np.concatenate([np.empty(0, np.bool_), *kept]))
    writer = SegmentWriter(disk, folder, job.name)
    _copy_documents(sources, kept, writer, job.report)
    rows = [keep[source.document_of] for source, keep in zip(sources, kept, strict=True)]
    passages, first = [], 0
    for source, keep, row in zip(sources, kept, rows, strict=True):
        part = source.passages[row]
        part["document"] = first + (np.cumsum(keep) - 1)[source.document_of[row]]
        passages.append(part)
        first += int(np.count_nonzero(keep))
    keys = np.concatenate([source.keys[row] for source, row in zip(sources, rows, strict=True)])
    segment = writer.finish(
        np.concatenate(passages),
        keys if first_key is None else np.arange(first_key, first_key + len(keys)),
        dense=partial(_merge_dense, job, sources, rows) if manifest.dim is not None else None,
        late=partial(_merge_late, job, sources, rows, folder) if manifest.late is not None else None,
    )
    return Merged(names, segment, np.concatenate(kept))


def _copy_documents(
    sources: Sequence[OpenSegment], kept: Sequence[NDArray[np.bool_]], writer: SegmentWriter, report: Report
) -> None:
    import pyarrow as pa

    done, total = 0, sum(len(keep) for keep in kept)
    for source, keep in zip(sources, kept, strict=True):
        start = 0
        for table in source.tables():
            chosen = table.filter(pa.array(keep[start : start + table.num_rows]))
            start += table.num_rows
            if chosen.num_rows:
                writer.documents(chosen)
            done += table.num_rows
            report("documents", done, total)


def _merge_dense(
    job: Job, sources: Sequence[OpenSegment], rows: Sequence[NDArray[np.bool_]], disk: Disk, path: Path
) -> tuple[list[str], dict[str, Any]]:
    assert job.manifest.dim is not None
    return write_part(disk, path, _vectors(sources, rows, job.report), job.manifest.dim, job.manifest.dense)


def _merge_late(
    job: Job, sources: Sequence[OpenSegment], rows: Sequence[NDArray[np.bool_]], folder: Path, disk: Disk, path: Path
) -> tuple[list[str], dict[str, Any]]:
    from retr.index.late.segment import merge_segments

    kept = [(source.late, keep) for source, keep in zip(sources, rows, strict=True) if source.late is not None]
    known = known_codecs(folder, job.manifest.segments)
    return merge_segments(disk, path, kept, job.manifest.late_settings, known)


def _vectors(
    sources: Sequence[OpenSegment], rows: Sequence[NDArray[np.bool_]], report: Report
) -> Iterator[NDArray[np.float32]]:
    done, total = 0, sum(len(keep) for keep in rows)
    for source, keep in zip(sources, rows, strict=True):
        start = 0
        assert source.dense is not None
        for block in source.dense.blocks(_BLOCK_ROWS):
            yield block[keep[start : start + len(block)]]
            start += len(block)
            done += len(block)
            report("vectors", done, total)


def swap(segments: Sequence[Segment], merged: Merged) -> tuple[Run, tuple[Segment, ...]]:
    """The segments with the merged one in the place of its sources, and where those stood."""
    names = [segment.name for segment in segments]
    start = names.index(merged.sources[0])
    run = Run(start, start + len(merged.sources))
    assert tuple(names[run.start : run.end]) == merged.sources
    new = () if merged.segment is None else (merged.segment,)
    return run, placed((*segments[: run.start], *new, *segments[run.end :]))


class MergeThread:
    """One merge beside the writer. What goes wrong in it is raised by `result`."""

    def __init__(self, disk: Disk, folder: Path, job: Job) -> None:
        self.name = job.name
        self._merged: Merged | None = None
        self._error: BaseException | None = None

        def work() -> None:
            try:
                self._merged = merge(disk, folder, job)
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=work, name="retr-merge", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether `result` would not wait."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Until it has ended, well or not."""
        self._thread.join()

    def result(self) -> Merged:
        """The merged segment, waited for."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._merged is not None
        return self._merged
