"""Going back to an older generation, and copying one out: both read what was written and check it first."""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from retr.index.disk.fsio import Disk, FileFacts, facts_of, make_durable_folder
from retr.index.disk.leases import Lease, held, live_manifest
from retr.index.disk.manifest import (
    Manifest,
    check_new_folder,
    generations_in,
    manifest_name,
    publish,
    read_current,
    read_manifest,
    write_current,
)
from retr.index.disk.pins import find, pins_in
from retr.index.disk.verify import problems
from retr.retrieval.errors import BadInput, Damaged, NotFound


@dataclass(frozen=True, slots=True)
class Kept:
    """A generation that can be gone back to; `snapshots` are the names that keep it."""

    generation: int
    created: str
    documents: int
    live: bool
    snapshots: tuple[str, ...]


def kept_generations(folder: Path) -> list[Kept]:
    """All generations whose manifests are there, newest first."""
    live, pins = live_manifest(folder).generation, pins_in(folder)
    found = []
    for generation in reversed([number for number in generations_in(folder) if number <= live]):
        try:
            manifest = read_manifest(folder, manifest_name(generation))
        except Damaged:
            if (folder / manifest_name(generation)).exists():
                raise
            continue  # A writer has cleared it away since.
        names = tuple(pin.name for pin in pins if pin.generation == generation)
        found.append(Kept(generation, manifest.created, manifest.live_documents, generation == live, names))
    return found


def kept_manifest(folder: Path, to: int | str) -> Manifest:
    """The manifest of a generation by its number or a snapshot's name. NotFound, with what there is; Damaged."""
    if isinstance(to, str):
        pin = find(folder, to)
        return read_manifest(folder, manifest_name(pin.generation), sha256=pin.sha256)
    live = live_manifest(folder)
    known = [generation for generation in generations_in(folder) if generation <= live.generation]
    if to not in known:
        raise NotFound(
            f"There is no generation {to}; kept are {', '.join(str(number) for number in known)}. "
            "Only the last two and those of snapshots are."
        )
    return read_manifest(folder, manifest_name(to))


def rollback(disk: Disk, folder: Path, to: int | str | None) -> Manifest:
    """Make the content of an older generation the newest; None: the last that held something else. Needs the lock.

    Nothing is lost: what was live stays as the generation before, until the next write.
    """
    live = read_current(folder)
    if to is None:
        to = _before(folder, live)
    target = kept_manifest(folder, to)
    if target.generation == live.generation:
        raise BadInput(f"Generation {live.generation} is the live one. Name an older one.")
    for problem in problems(folder, target):
        raise Damaged(f"{problem} Generation {target.generation} cannot be gone back to.")
    new = replace(
        target,
        generation=live.generation + 1,
        next_key=max(live.next_key, target.next_key),
        next_name=max(live.next_name, target.next_name),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_current(disk, folder, new)
    return new


def _before(folder: Path, live: Manifest) -> int:
    """The newest older generation of other content: merging makes generations of its own, which change nothing."""
    older = [number for number in reversed(generations_in(folder)) if number < live.generation]
    if not older:
        raise NotFound(f"Generation {live.generation} is the only one; there is nothing to go back to.")
    newer = live
    for number in older:
        one = read_manifest(folder, manifest_name(number))
        if not _tidied(one, newer):
            return number
        newer = one
    return older[0]


def _tidied(one: Manifest, newer: Manifest) -> bool:
    """Whether the newer generation has merged segments or new postings, and nothing else: no new keys, none gone."""
    if (one.live_documents, one.next_key, one.encoders) != (newer.live_documents, newer.next_key, newer.encoders):
        return False
    merged = one.next_name != newer.next_name
    dead = [[facts.sha256 for facts in each.deletes.values()] for each in (one, newer)]
    return merged or (one.segments == newer.segments and dead[0] == dead[1])


def copy(disk: Disk, folder: Path, target: Path, *, of: int | str | None = None) -> Manifest:
    """Copy one generation (None: the live one) into a new or empty folder, every byte checked against its manifest.

    Needs no lock: writers may commit meanwhile. Damaged when a file is not what was written; nothing usable is then
    left in `target`, since the pointer is written last.
    """
    check_new_folder(target)
    if folder.resolve() in target.resolve().parents:
        raise BadInput(f"{str(target)!r} lies inside the index {str(folder)!r}. Copy it to another place.")
    manifest, _lease = _held(folder, of)
    make_durable_folder(disk, target)
    for name, facts in manifest.files().items():
        _copy_file(disk, folder / name, target / name, facts)
    for parent in sorted({(target / name).parent for name in manifest.files()}):
        disk.sync_folder(parent)
        disk.sync_folder(parent.parent)
    publish(disk, target, manifest.name, (folder / manifest.name).read_bytes())
    return manifest


def _held(folder: Path, of: int | str | None) -> tuple[Manifest, Lease]:
    """The generation to copy, held so that no writer clears it away meanwhile."""
    if of is None:
        return held(folder)
    while True:
        manifest = kept_manifest(folder, of)
        try:
            return manifest, Lease(folder / manifest.name)
        except FileNotFoundError:
            continue


def _copy_file(disk: Disk, source: Path, target: Path, facts: FileFacts) -> None:
    disk.make_folder(target.parent)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        raise Damaged(f"{str(source)!r} is missing. The copy {str(target)!r} is not usable.") from None
    if facts_of(target) != facts:
        raise Damaged(
            f"{str(source)!r} is damaged: it is not what was written. The copy {str(target)!r} is not usable."
        )
    disk.sync_file(target)
