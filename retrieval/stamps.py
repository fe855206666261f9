"""Where caches live, and the SHA-256 of a file remembered for as long as the file is untouched.

Hashing 100 MB costs a quarter of a second; a stamp (inode, size, modification and change time) costs a `stat`. Whoever
writes to a file changes its change time, which no ordinary program can set back, so a stale stamp is not believed.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

_BLOCK = 1 << 20


def cache_folder() -> Path:
    """`RETR_CACHE_DIR`, or retr's folder in the user's cache. It may not exist yet, or not be writable."""
    named = os.environ.get("RETR_CACHE_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retr"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, read now, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Stamps:
    """The remembered hashes of one folder's files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        name = hashlib.sha256(str(self._folder).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._path = cache_folder() / "stamps" / f"{name}.json"
        self._known = self._load()
        self._changed = False

    def _load(self) -> dict[str, list[object]]:
        try:
            known = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def sha256(self, name: str, *, again: bool = False) -> str:
        """The hash of the file `name` below the folder: remembered if untouched, read otherwise or if `again`."""
        path = self._folder / name
        stat = path.stat()
        stamp: list[object] = [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        known = self._known.get(name)
        if not again and isinstance(known, list) and known[:-1] == stamp:
            return str(known[-1])
        digest = sha256_of(path)
        self._known[name] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self, keep: set[str] | None = None) -> None:
        """Remember for the next process; only the names in `keep`, if given. An unwritable cache is no error."""
        if keep is not None and not self._known.keys() <= keep:
            self._known = {name: known for name, known in self._known.items() if name in keep}
            self._changed = True
        if not self._changed:
            return
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._known))
            os.replace(temporary, self._path)
            self._changed = False
