"""A whole other index made the next generation of this one: its files linked in, then one switch of the pointer."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from retr.index.disk.fsio import Disk, FileFacts
from retr.index.disk.manifest import Manifest, Segment, write_current
from retr.index.disk.pins import pin, pins_in
from retr.index.writing.generations import clear_leftover


def adopt(disk: Disk, folder: Path, live: Manifest, source: Path, found: Manifest, kept: str) -> Manifest:
    """Make the generation `found` of the index in `source` the next one in `folder`; `kept` is pinned to the live one.

    For the holder of both writer locks. Killed at any instant, the folder opens at one of the two.
    """
    if not any(each.name == kept for each in pins_in(folder)):
        pin(disk, folder, live, kept)
    generation = f"{live.generation + 1:06d}"
    segments, next_name = [], live.next_name
    for segment in found.segments:
        name = f"{next_name:06d}"
        _link(disk, source / "segments" / segment.name, folder / "segments" / name, segment.files)
        segments.append(replace(segment, name=name))
        next_name += 1
    lexical_folder = ""
    if found.lexical_folder:
        lexical_folder = f"lexical/{generation}"
        _link(disk, source / found.lexical_folder, folder / lexical_folder, found.lexical)
    deletes = _link_deletes(disk, folder, source, found, generation)
    disk.sync_folder(folder)
    new = replace(
        found,
        generation=live.generation + 1,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        segments=tuple[Segment, ...](segments),
        lexical_folder=lexical_folder,
        deletes=deletes,
        next_key=max(live.next_key, found.next_key),
        next_name=next_name,
    )
    write_current(disk, folder, new)
    return new


def _link(disk: Disk, source: Path, target: Path, files: Mapping[str, FileFacts]) -> None:
    clear_leftover(disk, target)
    disk.make_folder(target)
    for name in files:
        disk.make_folder((target / name).parent)
        disk.link(source / name, target / name)
        disk.sync_file(target / name)
    for inner in sorted({(target / name).parent for name in files} | {target}, reverse=True):
        disk.sync_folder(inner)
    disk.sync_folder(target.parent)


def _link_deletes(disk: Disk, folder: Path, source: Path, found: Manifest, generation: str) -> dict[str, FileFacts]:
    made = {}
    for old, facts in found.deletes.items():
        name = f"deletes/{generation}.bitmap"
        clear_leftover(disk, folder / name)
        disk.make_folder(folder / "deletes")
        disk.link(source / old, folder / name)
        disk.sync_file(folder / name)
        disk.sync_folder(folder / "deletes")
        made[name] = facts
    return made
