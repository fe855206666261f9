"""Reading a folder of vectors back, block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from retr.encoders.bulk.folder import Manifest, Rows, ShardFacts, read_manifest, shard_path
from retr.encoders.bulk.ids import read_ids
from retr.retrieval.errors import Damaged, Mismatch
from retr.retrieval.stamps import sha256_of


@dataclass(frozen=True, slots=True)
class Block:
    """Vectors that follow one another: ids, rows [ids, dim], and texts where the folder keeps them."""

    ids: list[str]
    values: Rows
    texts: list[str] | None = None


@dataclass(frozen=True, slots=True)
class EncodedFolder:
    """A finished folder of vectors."""

    path: Path
    manifest: Manifest

    def __len__(self) -> int:
        return self.manifest.texts

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.manifest.dim

    def blocks(self, *, check: bool = True) -> Iterator[Block]:
        """All ids and vectors in their order, a shard at a time. With `check`, each file's SHA-256 is compared."""
        ids = self._ids()
        for facts in self.manifest.shards:
            values = self._shard(facts, check=check)
            names, texts = ids.take(facts.texts)
            yield Block(names, values, texts)

    def _shard(self, facts: ShardFacts, *, check: bool) -> Rows:
        path = shard_path(self.path, facts.key)
        try:
            if path.stat().st_size != facts.bytes or (check and sha256_of(path) != facts.sha256):
                raise Damaged(_damaged(path))
            values: Rows = np.load(path, mmap_mode="r", allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):
            raise Damaged(_damaged(path)) from None
        return values

    def _ids(self) -> "_Ids":
        path = self.path / self.manifest.ids
        if not path.is_file():
            raise Damaged(_damaged(path))
        return _Ids(path)


class _Ids:
    """The ids in whatever numbers they are asked for."""

    def __init__(self, path: Path) -> None:
        self._tables = read_ids(path)
        self._ids: list[str] = []
        self._texts: list[str] | None = None

    def take(self, count: int) -> tuple[list[str], list[str] | None]:
        """The next so many ids, and texts."""
        while len(self._ids) < count:
            table = next(self._tables)
            self._ids += table["id"].to_pylist()
            if "text" in table.column_names:
                self._texts = (self._texts or []) + table["text"].to_pylist()
        ids, self._ids = self._ids[:count], self._ids[count:]
        if self._texts is None:
            return ids, None
        texts, self._texts = self._texts[:count], self._texts[count:]
        return ids, texts


def open_vectors(folder: str | Path) -> EncodedFolder:
    """A folder that `retr encode` or `encode_records` finished. NotFound without one, Mismatch while unfinished."""
    path = Path(folder)
    manifest = read_manifest(path)
    if not manifest.complete:
        raise Mismatch(f"{str(path)!r} is not finished. Give the command that began it again; it goes on from there.")
    return EncodedFolder(path, manifest)


def _damaged(path: Path) -> str:
    return f"{str(path)!r} is missing or not what was written. Encode again: only what is damaged is made anew."
