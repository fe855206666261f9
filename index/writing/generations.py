"""Turning a batch into the next generation, and clearing away what no kept generation names.

The order is the whole of crash safety: every new file and folder is durable before the manifest that names it, and the
manifest before the pointer. Killed at any instant, the folder opens at the last pointer.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Collection as Names
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.parts import write_part
from retr.index.disk.fsio import Disk, FileFacts, facts_of
from retr.index.disk.leases import unread
from retr.index.disk.manifest import (
    CURRENT,
    Manifest,
    Segment,
    generations_in,
    manifest_name,
    placed,
    read_current,
    read_manifest,
    write_current,
)
from retr.index.disk.pins import pinned_generations
from retr.index.disk.segments import SegmentWriter, WriteVectors, document_tables, known_codecs, passages_of
from retr.index.lexical.postings import write_generation
from retr.index.writing.batch import Batch
from retr.index.writing.passages import encoded_texts
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import RetrError
from retr.retrieval.version import VERSION

if TYPE_CHECKING:
    from retr.index.late.part import LatePart

KEPT_GENERATIONS = 2

_FULL_BYTES = 1 << 20
"""A disk with less room than this is taken for full."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What the next generation has that the last one has not.

    `segments` are those it keeps or has merged, in order; `batch` comes after them; `dead` [documents] is over all of
    these; `removed` are the keys of the passages that the postings must lose. `rebuilt` gives every (key, text) when
    the postings are to be made anew.
    """

    segments: tuple[Segment, ...]
    batch: Batch | None
    dead: NDArray[np.bool_]
    removed: Sequence[int] = ()
    rebuilt: Iterable[tuple[int, str]] | None = None
    next_name: int = 0
    settings: dict[str, Any] = field(default_factory=dict)


def commit_generation(disk: Disk, folder: Path, manifest: Manifest, changes: Changes) -> Manifest:
    """Write the changes as the next generation, and switch the pointer to it."""
    name = f"{manifest.generation + 1:06d}"
    segments, batch = changes.segments, changes.batch
    next_name = max(manifest.next_name, changes.next_name)
    added = 0
    if batch is not None and len(batch):
        clear_leftover(disk, folder / "segments" / f"{next_name:06d}")
        kept = replace(manifest, segments=segments)
        segment = _write_segment(disk, folder, kept, batch, name=f"{next_name:06d}")
        segments, next_name, added = (*segments, segment), next_name + 1, batch.passages
    segments = placed(segments)
    clear_leftover(disk, folder / "lexical" / name)
    lexical_folder, lexical = _write_lexical(disk, folder, manifest, changes, name)
    documents = sum(segment.documents for segment in segments)
    settings = {**manifest.settings, **changes.settings}
    new = manifest.following(
        segments=segments,
        settings=settings,
        lexical=lexical,
        lexical_folder=lexical_folder,
        deletes=_write_deletes(disk, folder, changes.dead, name) if changes.dead.any() else {},
        live_documents=documents - int(np.count_nonzero(changes.dead)),
        live_passages=manifest.live_passages + added - len(changes.removed),
        next_key=manifest.next_key + added,
        next_name=next_name,
        written_by=f"retr {VERSION}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_current(disk, folder, new)
    return new


def clear_leftover(disk: Disk, path: Path) -> None:
    """Remove what a killed writer left under a name that is to be used now."""
    if path.exists():
        disk.remove(path)


def _write_segment(disk: Disk, folder: Path, manifest: Manifest, batch: Batch, *, name: str) -> Segment:
    writer = SegmentWriter(disk, folder, name)
    entries, vectors = batch.entries, batch.vectors()
    for table in document_tables(entries):
        writer.documents(table)
    return writer.finish(
        passages_of(entries),
        np.arange(manifest.next_key, manifest.next_key + batch.passages, dtype=np.int64),
        dense=None if vectors is None else partial(_write_dense, manifest, vectors),
        late=_late_writer(manifest, batch, folder),
    )


def _write_dense(manifest: Manifest, vectors: Floats, disk: Disk, path: Path) -> tuple[list[str], dict[str, Any]]:
    assert manifest.dim is not None
    return write_part(disk, path, [vectors], manifest.dim, manifest.dense)


def _late_writer(manifest: Manifest, batch: Batch, folder: Path) -> WriteVectors | None:
    """What writes the batch's tokens; None where it has none."""
    if (part := batch.coded) is not None:
        return partial(_keep_late, part)
    tokens = batch.tokens()
    return partial(_write_late, manifest, tokens, folder) if tokens else None


def _keep_late(part: "LatePart", disk: Disk, path: Path) -> tuple[list[str], dict[str, Any]]:
    from retr.index.late.segment import keep_segment

    return keep_segment(disk, path, part)


def _write_late(
    manifest: Manifest, blocks: Sequence[TokenVectors], folder: Path, disk: Disk, path: Path
) -> tuple[list[str], dict[str, Any]]:
    from retr.index.late.segment import write_segment

    return write_segment(disk, path, blocks, manifest.late_settings, known_codecs(folder, manifest.segments))


def _write_lexical(
    disk: Disk, folder: Path, manifest: Manifest, changes: Changes, name: str
) -> tuple[str, dict[str, FileFacts]]:
    added = changes.batch is not None and len(changes.batch) > 0
    if not added and not changes.removed and changes.rebuilt is None and manifest.lexical_folder:
        return manifest.lexical_folder, dict(manifest.lexical)
    path = folder / "lexical" / name
    old = folder / manifest.lexical_folder if manifest.lexical_folder and changes.rebuilt is None else None
    with _tantivys_errors(path):
        names = write_generation(
            disk,
            old,
            path,
            language=str(manifest.settings["language"]),
            added=changes.rebuilt if changes.rebuilt is not None else _lexical_rows(changes.batch, manifest.next_key),
            removed=() if changes.rebuilt is not None else changes.removed,
        )
    disk.sync_folder(path.parent)
    disk.sync_folder(folder)
    return f"lexical/{name}", {file: _facts(manifest, old, path, file) for file in names}


@contextlib.contextmanager
def _tantivys_errors(path: Path) -> Iterator[None]:
    """A full disk, for which tantivy has an error of its own, as an OSError."""
    try:
        yield
    except ValueError as error:
        found = re.search(r"os error (\d+)|code: (\d+)", str(error))
        if found is not None:
            number = int(found[1] or found[2])
        elif "index writer was killed" in str(error):  # One of its threads could not write, and does not say why.
            number = errno.EIO if shutil.disk_usage(path).free > _FULL_BYTES else errno.ENOSPC
        else:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _facts(manifest: Manifest, old: Path | None, new: Path, file: str) -> FileFacts:
    """Hard-linked files are the very same inode, so what the last manifest says of them still holds."""
    with contextlib.suppress(OSError):
        if old is not None and file in manifest.lexical and (old / file).samefile(new / file):
            return manifest.lexical[file]
    return facts_of(new / file)


def _lexical_rows(batch: Batch | None, first_key: int) -> Iterator[tuple[int, str]]:
    key = first_key
    for entry in batch.entries if batch is not None else ():
        for text in encoded_texts(entry.document, entry.spans):
            yield key, text
            key += 1


def _write_deletes(disk: Disk, folder: Path, dead: NDArray[np.bool_], name: str) -> dict[str, FileFacts]:
    path = folder / "deletes" / f"{name}.bitmap"
    disk.make_folder(path.parent)
    disk.write(path, np.packbits(dead, bitorder="little").tobytes())
    disk.sync_file(path)
    disk.sync_folder(path.parent)
    disk.sync_folder(folder)
    return {f"deletes/{path.name}": facts_of(path)}


def collect_garbage(disk: Disk, folder: Path, *, keep: int = KEPT_GENERATIONS, building: Names[str] = ()) -> list[int]:
    """Remove what no kept generation names: orphans of a killed writer, and older generations.

    Kept are the last `keep` generations, those pinned by a snapshot, and those that a reader has open, which are given
    back. `building` names segments that are being written.
    """
    live = read_current(folder)
    pinned = pinned_generations(folder)
    kept = {CURRENT, "LOCK", *(f"segments/{name}" for name in building)}
    held = []
    for generation in generations_in(folder):
        recent = live.generation - keep < generation <= live.generation
        if not recent and generation not in pinned:
            with unread(folder / manifest_name(generation)) as free:
                if free:
                    disk.remove(folder / manifest_name(generation))
                    continue
            held.append(generation)
        kept |= _files_of(folder, generation)
    folders = {str(parent) for name in kept for parent in Path(name).parents}
    for path in _ours(folder):
        name = path.relative_to(folder).as_posix()
        if name not in kept and name not in folders:
            disk.remove(path)
    return held


def _files_of(folder: Path, generation: int) -> set[str]:
    name = manifest_name(generation)
    with contextlib.suppress(RetrError):
        return set(read_manifest(folder, name).files()) | {name}
    return {name}


def _ours(folder: Path) -> Iterator[Path]:
    yield from folder.glob("manifest-*.json")
    yield from folder.glob("*.tmp")
    for kind in ("segments", "lexical"):
        yield from folder.glob(f"{kind}/*")
    yield from folder.glob("deletes/*.bitmap")
    yield from folder.glob("snapshots/*.tmp")
