"""Every effect that the index has on the disk, in one small place, so that tests can crash and fill it at any step."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from retr.retrieval.stamps import sha256_of

_TRIES = 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a manifest says of one file: its size in bytes and the SHA-256 of its content, as hex."""

    bytes: int
    sha256: str


def facts_of(path: Path) -> FileFacts:
    """The size and SHA-256 of a file, read now."""
    return FileFacts(path.stat().st_size, sha256_of(path))


class Disk:
    """The operations a writer uses. A test replaces it to fail, tear or stop at the n-th one."""

    def make_folder(self, path: Path) -> None:
        """Create a folder and its parents."""
        path.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole new file; not durable before `sync_file`."""
        path.write_bytes(data)

    def sync_file(self, path: Path) -> None:
        """Make a file's content durable."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        self.sync_file(path)

    def rename(self, source: Path, target: Path) -> None:
        """Replace `target` by `source` in one step."""
        os.replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        """A second name for an immutable file; a copy where the file system has no hard links."""
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file or a folder that no manifest names."""
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def _remove_tree(path: Path) -> None:
    """Tantivy may put a lock file into a folder of postings, from a thread of its own, while it is being emptied."""
    for _ in range(_TRIES):
        try:
            shutil.rmtree(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                raise
    shutil.rmtree(path)


def make_durable_folder(disk: Disk, path: Path) -> None:
    """Create a folder and its parents, and make the names of those that are new durable."""
    new = [each for each in (path, *path.parents) if not each.exists()]
    disk.make_folder(path)
    for each in new:
        disk.sync_folder(each.parent)
