"""Turning a batch into the next generation, and clearing away what no kept generation names.

The order is the whole of crash safety: every new file and folder is durable before the manifest that names it, and the
manifest before the pointer. Killed at any instant, the folder opens at the last pointer.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retr.index.batch import Batch, encoded_texts
from retr.index.fsio import Disk, FileFacts, facts_of
from retr.index.lexical import write_generation
from retr.index.manifest import (
    CURRENT,
    Manifest,
    Segment,
    generations_in,
    manifest_name,
    read_current,
    read_manifest,
    write_current,
)
from retr.index.segments import write_segment
from retr.retrieval.errors import RetrError

KEPT_GENERATIONS = 2


def commit_generation(
    disk: Disk, folder: Path, manifest: Manifest, batch: Batch, *, dead: NDArray[np.bool_], removed: Mapping[int, int]
) -> Manifest:
    """Write the batch and the removals as the next generation.

    `removed` says of each removed document's number how many passages it had; `dead` [documents] includes them.
    """
    name = f"{manifest.generation + 1:06d}"
    _clear_leftovers(disk, folder, name)
    segments = manifest.segments
    if len(batch):
        segments = (*segments, _write_segment(disk, folder, manifest, batch, name))
    lexical = _write_lexical(disk, folder, manifest, batch, removed, name)
    deletes = _write_deletes(disk, folder, dead, name) if dead.any() else {}
    number = sum(segment.documents for segment in segments)
    new = manifest.following(
        segments=segments,
        lexical=lexical,
        lexical_folder=f"lexical/{name}",
        deletes=deletes,
        live_documents=number - int(np.count_nonzero(dead)),
        live_passages=manifest.live_passages + batch.passages - sum(removed.values()),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_current(disk, folder, new)
    return new


def _clear_leftovers(disk: Disk, folder: Path, name: str) -> None:
    for left in (folder / "segments" / name, folder / "lexical" / name):
        if left.exists():
            disk.remove(left)


def _write_segment(disk: Disk, folder: Path, manifest: Manifest, batch: Batch, name: str) -> Segment:
    path = folder / "segments" / name
    disk.make_folder(path)
    files = write_segment(path, batch.entries, batch.vectors(), first_document=manifest.next_document)
    for file in files:
        disk.sync_file(path / file)
    disk.sync_folder(path)
    disk.sync_folder(path.parent)
    return Segment(
        name=name,
        first_document=manifest.next_document,
        documents=len(batch),
        first_row=manifest.next_row,
        rows=batch.passages,
        files={file: facts_of(path / file) for file in files},
    )


def _write_lexical(
    disk: Disk, folder: Path, manifest: Manifest, batch: Batch, removed: Iterable[int], name: str
) -> dict[str, FileFacts]:
    path = folder / "lexical" / name
    names = write_generation(
        disk,
        folder / manifest.lexical_folder if manifest.lexical_folder else None,
        path,
        language=str(manifest.settings["language"]),
        added=_lexical_rows(batch, manifest.next_document, manifest.next_row),
        removed=sorted(removed),
    )
    disk.sync_folder(path.parent)
    # Hard-linked files are the very same inode, so what the last manifest says of them still holds.
    old = folder / manifest.lexical_folder
    return {
        file: manifest.lexical[file]
        if file in manifest.lexical and _same_file(old / file, path / file)
        else facts_of(path / file)
        for file in names
    }


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _lexical_rows(batch: Batch, first_document: int, first_row: int) -> Iterator[tuple[int, int, str]]:
    row = first_row
    for number, entry in enumerate(batch.entries, start=first_document):
        for text in encoded_texts(entry.document, entry.spans):
            yield row, number, text
            row += 1


def _write_deletes(disk: Disk, folder: Path, dead: NDArray[np.bool_], name: str) -> dict[str, FileFacts]:
    path = folder / "deletes" / f"{name}.bitmap"
    disk.make_folder(path.parent)
    disk.write(path, np.packbits(dead, bitorder="little").tobytes())
    disk.sync_file(path)
    disk.sync_folder(path.parent)
    return {f"deletes/{path.name}": facts_of(path)}


def collect_garbage(disk: Disk, folder: Path) -> None:
    """Remove what the last two generations do not name: orphans of a killed writer, and older generations.

    Open files stay readable for the processes that have them open.
    """
    live = read_current(folder)
    kept = {CURRENT, "LOCK"}
    for generation in generations_in(folder):
        if live.generation - KEPT_GENERATIONS < generation <= live.generation:
            with contextlib.suppress(RetrError):
                kept |= set(read_manifest(folder, manifest_name(generation)).files()) | {manifest_name(generation)}
    folders = {str(parent) for name in kept for parent in Path(name).parents}
    for path in _ours(folder):
        name = path.relative_to(folder).as_posix()
        if name not in kept and name not in folders:
            disk.remove(path)


def _ours(folder: Path) -> Iterator[Path]:
    yield from folder.glob("manifest-*.json")
    yield from folder.glob(f"{CURRENT}.tmp")
    for kind in ("segments", "lexical"):
        yield from folder.glob(f"{kind}/*")
    yield from folder.glob("deletes/*.bitmap")
