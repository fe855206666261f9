"""Everything living into one segment and fresh postings; what is dead is left behind, and then cleared away."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from retr.index.dense.settings import DenseSettings
from retr.index.disk.fsio import Disk
from retr.index.disk.manifest import Manifest, placed
from retr.index.late.settings import LateSettings
from retr.index.lexical.postings import passages_in
from retr.index.snapshot import Snapshot
from retr.index.writing.generations import Changes, clear_leftover, commit_generation
from retr.index.writing.merging import Job, Report, Run, in_silence, merge
from retr.index.writing.renewal import living_texts

_TOLD_EVERY = 1000


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compaction did. Bytes are those of the whole folder; `held` and `pinned` still keep older generations.

    `erased` counts the dead documents that were left behind; `held` are generations that a reader has open, `pinned`
    the names of snapshots: what they hold is not erased before they go.
    """

    generation: int
    documents: int
    erased: int
    segments_before: int
    segments: int
    bytes_before: int
    bytes: int
    held: tuple[int, ...] = ()
    pinned: tuple[str, ...] = ()


def is_compact(snapshot: Snapshot) -> bool:
    """Whether there is nothing to merge and nothing to leave behind."""
    manifest = snapshot.manifest
    if len(manifest.segments) > 1 or not snapshot.live.all():
        return False
    if not manifest.lexical_folder:
        return True
    passages, deleted = passages_in(snapshot.folder / manifest.lexical_folder)
    return deleted == 0 and passages == manifest.live_passages


def compact(
    disk: Disk,
    snapshot: Snapshot,
    changed: Mapping[str, DenseSettings | LateSettings] = MappingProxyType({}),
    report: Report = in_silence,
) -> Manifest:
    """The next generation: one segment, new postings, with the settings `changed`. For the holder of the lock.

    Keys begin again at 0, so rows and keys are one.
    """
    folder, manifest = snapshot.folder, snapshot.manifest
    settings = {name: asdict(one) for name, one in changed.items()}
    wanted = replace(manifest, settings={**manifest.settings, **settings})
    name = f"{manifest.next_name:06d}"
    clear_leftover(disk, folder / "segments" / name)
    run = Run(0, len(manifest.segments))
    merged = merge(disk, folder, Job(wanted, run, ~snapshot.live, name, first_key=0, report=report))
    segments = () if merged.segment is None else placed([merged.segment])
    dead = np.zeros(sum(segment.documents for segment in segments), np.bool_)
    changes = Changes(
        segments,
        None,
        dead,
        rebuilt=_told(living_texts(folder, segments, dead), manifest.live_passages, report),
        next_name=manifest.next_name + 1,
        settings=settings,
    )
    return commit_generation(disk, folder, replace(manifest, next_key=manifest.live_passages), changes)


def _told(texts: Iterable[tuple[int, str]], total: int, report: Report) -> Iterator[tuple[int, str]]:
    for done, one in enumerate(texts, start=1):
        yield one
        if done % _TOLD_EVERY == 0 or done == total:
            report("passages", done, total)


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder, each inode once."""
    stats = [path.lstat() for path in folder.rglob("*") if path.is_file()]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values())
