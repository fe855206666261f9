"""The folder that bulk encoding writes: shards named by their content, the ids, and a manifest that is written last.

    manifest.json     what the vectors are, which shards make them up, in order; replaced by one rename
    ids-<hash>.parquet  the ids in the same order, and the texts where they were asked for
    shards/<key>.npy  float32 or float16 [texts, dim]; immutable
    LOCK              held by the one run that writes

Every file is written under another name, synced and renamed: a name that stands there is whole.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound

FORMAT = "retr-vectors-1"
MANIFEST, LOCK, SHARDS = "manifest.json", "LOCK", "shards"
UNFINISHED = ".unfinished"
"""What the name of a file that is being written ends in."""

Rows = NDArray[Any]
"""Vectors as they are stored: float32 or float16 [texts, dim]."""


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """One shard in a manifest: the name of its file without suffix, its texts, and its bytes."""

    key: str
    texts: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder holds. Until `complete`, only what it will hold is known, and `shards` is what an earlier run left.

    `encoder` is how the encoder was named, `ids` the name of the file with the ids.
    """

    encoder: str
    fingerprint: str
    similarity: str
    side: str
    dtype: str
    dim: int
    shard_texts: int
    texts: int = 0
    complete: bool = False
    ids: str = ""
    shards: tuple[ShardFacts, ...] = ()

    def check_same(self, asked: "Manifest", where: Path) -> None:
        """Mismatch when other vectors are asked for than the folder holds."""
        for name in ("fingerprint", "side", "dtype", "dim", "shard_texts"):
            here, there = getattr(asked, name), getattr(self, name)
            if here != there:
                what = f"vectors of the encoder {self.encoder!r}" if name == "fingerprint" else f"{name} {there}"
                wanted = f"of {asked.encoder!r}, whose fingerprint is another" if name == "fingerprint" else str(here)
                raise Mismatch(
                    f"{str(where)!r} holds {what}, not {wanted}. Write to another folder, or remove this one."
                )


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest; NotFound without one, Damaged when it is not one."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        if content.pop("format") != FORMAT:
            raise ValueError
        shards = tuple(ShardFacts(**shard) for shard in content.pop("shards"))
        found = Manifest(**content, shards=shards)
        if any(not isinstance(value, int) for value in (found.dim, found.texts, found.shard_texts)):
            raise ValueError
        return found
    except FileNotFoundError:
        raise NotFound(f"No vectors at {str(folder)!r}: it has no {MANIFEST}. Make them with `retr encode`.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Damaged(f"{str(path)!r} is no manifest of vectors. Remove the folder, and encode again.") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step; what it names is durable before."""
    content = {"format": FORMAT, **{one.name: getattr(manifest, one.name) for one in fields(manifest)}}
    content["shards"] = [asdict(shard) for shard in manifest.shards]
    text = json.dumps(content, indent=1) + "\n"
    with written(folder / MANIFEST) as file:
        file.write(text.encode())


@contextlib.contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which gets its name, durably, when the block ends well, and is gone when it does not."""
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one run; the system lets go of it with the process, so a dead run leaves nothing stale."""
    file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Mismatch(f"Another run writes to {str(folder)!r} now. Wait for it to end.") from None
        yield
    finally:
        os.close(file)


def check_free(folder: Path) -> None:
    """BadInput when the folder holds anything that is not ours."""
    names = [path.name for path in _listed(folder)]
    strange = next((name for name in names if name not in (LOCK, SHARDS) and not name.endswith(UNFINISHED)), None)
    if MANIFEST not in names and strange is not None:
        raise BadInput(
            f"{str(folder)!r} holds other files, such as {strange!r}. Give a new or empty folder for the vectors."
        )


def prepare(folder: Path, asked: Manifest) -> Manifest:
    """The manifest of the folder, made now where there is none; Mismatch when it is for other vectors."""
    if not (folder / MANIFEST).exists():
        (folder / SHARDS).mkdir(exist_ok=True)
        write_manifest(folder, asked)
    found = read_manifest(folder)
    found.check_same(asked, folder)
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise BadInput(f"{str(folder)!r} is a file; give a folder, or a name that ends in .npy or .parquet.") from None


def shard_path(folder: Path, key: str) -> Path:
    """Where a shard lies."""
    return folder / SHARDS / f"{key}.npy"


def is_whole(path: Path, shape: tuple[int, int], dtype: str) -> bool:
    """Whether a file of these rows is there, by its header and its size."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return bool(values.shape == shape and values.dtype == np.dtype(dtype))


def remove_others(folder: Path, manifest: Manifest) -> None:
    """Remove what the manifest does not name: shards of texts that are gone, ids of before, unfinished files."""
    named = {f"{shard.key}.npy" for shard in manifest.shards}
    for path in [*(folder / SHARDS).iterdir(), *folder.glob("ids-*.parquet"), *folder.glob(f"*{UNFINISHED}")]:
        if path.name not in named and path.name != manifest.ids:
            path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder of vectors, and nothing in it that is not ours."""
    for path in [folder / MANIFEST, *folder.glob("ids-*.parquet"), *(folder / SHARDS).glob("*.npy"), folder / LOCK]:
        path.unlink(missing_ok=True)
    for each in (folder / SHARDS, folder):
        with contextlib.suppress(OSError):  # It holds something that is not ours.
            each.rmdir()
