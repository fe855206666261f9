"""Disks that do not keep what they promise, for `retr selftest` to find out."""

import shutil
import time
from pathlib import Path

from retr.index.disk.fsio import Disk


class Forgetful(Disk):
    """Says that a file is durable, and loses its last byte."""

    def sync_file(self, path: Path) -> None:
        super().sync_file(path)
        if path.is_file() and path.suffix == ".new":
            with path.open("r+b") as file:
                file.truncate(max(0, path.stat().st_size - 1))


class Copying(Disk):
    """Renames by writing the target anew, in place and slowly, as some file systems over a network do."""

    def rename(self, source: Path, target: Path) -> None:
        data = source.read_bytes()
        with target.open("r+b" if target.exists() else "wb") as file:
            file.truncate(0)
            file.write(data[: len(data) // 2])
            file.flush()
            time.sleep(0.3 if target.name == "CURRENT" else 0)
            file.write(data[len(data) // 2 :])
        source.unlink()


class Losing(Disk):
    """Forgets what a folder holds: a link or a rename into one that has many names is undone now and then."""

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        if (path / "CURRENT").exists() and (path / "segments").exists():
            for one in sorted((path / "segments").iterdir())[-1:]:
                shutil.rmtree(one)
