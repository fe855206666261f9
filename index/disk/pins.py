"""Snapshots by name: a generation that stays until its pin is removed, kept as `snapshots/NAME.json`."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from retr.index.disk.fsio import Disk
from retr.index.disk.manifest import Manifest, manifest_name, read_manifest
from retr.index.disk.verify import problems
from retr.retrieval.errors import BadInput, Damaged, NotFound, unknown

FOLDER = "snapshots"
_CHECK = "sha256_of_this"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Pin:
    """A named generation, and the SHA-256 of its manifest."""

    name: str
    generation: int
    created: str
    documents: int
    sha256: str


def check_name(name: str) -> str:
    """The snapshot's name itself, or BadInput."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"A snapshot's name has 1 to 64 letters, digits, dots, dashes or underscores; got {name!r}. Choose another."
        )
    return name


def pins_in(folder: Path) -> list[Pin]:
    """All snapshots of an index folder, oldest generation first. Damaged when one cannot be read."""
    found = [_read(path) for path in (folder / FOLDER).glob("*.json")]
    return sorted(found, key=lambda pin: (pin.generation, pin.name))


def _read(path: Path) -> Pin:
    data = path.read_bytes()
    try:
        table = json.loads(data)
        pin = Pin(**{name: value for name, value in table.items() if name != _CHECK})
        sound = data == _to_json(pin) and pin.name == path.stem
    except (ValueError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise Damaged(
            f"The snapshot {str(path)!r} is damaged: it is not what was written, so which generation it keeps is not "
            "known. Restore that file from a copy, or remove it by hand; what it kept goes with the next write."
        )
    return pin


def _to_json(pin: Pin) -> bytes:
    """The bytes of a snapshot's file: the pin, and the SHA-256 of its JSON."""
    table = asdict(pin)
    check = hashlib.sha256(json.dumps(table).encode()).hexdigest()
    return json.dumps({**table, _CHECK: check}).encode()


def pin_problems(folder: Path) -> Iterator[str]:
    """Each snapshot that is damaged, or whose generation is, in one sentence; every byte is read."""
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            pin = _read(path)
            manifest = read_manifest(folder, manifest_name(pin.generation), sha256=pin.sha256)
        except Damaged as error:
            yield str(error)
        else:
            yield from (f"{problem} The snapshot {pin.name!r} needs it." for problem in problems(folder, manifest))


def pinned_generations(folder: Path) -> set[int]:
    """The generations that snapshots keep."""
    return {pin.generation for pin in pins_in(folder)}


def pin(disk: Disk, folder: Path, manifest: Manifest, name: str) -> Pin:
    """Keep a generation under a name. BadInput when the name is taken."""
    path = folder / FOLDER / f"{check_name(name)}.json"
    if path.exists():
        raise BadInput(f"There is a snapshot {name!r} already. Choose another name, or remove that one first.")
    data = (folder / manifest_name(manifest.generation)).read_bytes()
    made = Pin(
        name=name,
        generation=manifest.generation,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        documents=manifest.live_documents,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    disk.make_folder(path.parent)
    temporary = path.with_suffix(".tmp")
    disk.write(temporary, _to_json(made))
    disk.sync_file(temporary)
    disk.rename(temporary, path)
    disk.sync_folder(path.parent)
    disk.sync_folder(folder)
    return made


def unpin(disk: Disk, folder: Path, name: str) -> None:
    """Let a snapshot go; its files are cleared away by the next writer."""
    find(folder, name)
    disk.remove(folder / FOLDER / f"{name}.json")
    disk.sync_folder(folder / FOLDER)


def find(folder: Path, name: str) -> Pin:
    """The snapshot of that name. NotFound, with the names there are."""
    known = {pin.name: pin for pin in pins_in(folder)}
    if name not in known:
        if not known:
            raise NotFound(f"There is no snapshot {name!r}; this index has none. Make one with: retr snapshot NAME")
        raise unknown("snapshot", name, known)
    return known[name]
