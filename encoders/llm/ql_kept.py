"""A folder of keys as a scorer: rows of texts that it holds are mapped from disk, other texts are read by the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retr.encoders.bulk import EncodedFolder, open_vectors
from retr.encoders.bulk.folder import MANIFEST, Rows, read_manifest
from retr.encoders.llm.ql_keys import KIND, KeyReader, id_of, open_keys
from retr.encoders.trained import TrainedScorer
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Mismatch, NotFound


def is_kept(path: Path) -> bool:
    """Whether a folder is one of keys, or of other vectors, and no model's."""
    return (path / MANIFEST).is_file() and not (path / "config.json").is_file()


def load_kept(path: Path, device: str = "") -> TrainedScorer:
    """The scorer of a folder that `keep_keys` wrote, with the model that wrote it, which must be where it was.

    A text's score is the same whether the folder holds it or not.
    """
    named = read_manifest(path).encoder
    if not named.startswith(KIND):
        raise BadInput(f"{path} holds vectors of {named!r}, not keys. Write keys with `retr keys`.")
    found = open_vectors(path)
    try:
        reader = open_keys(named.removeprefix(KIND), device)
    except NotFound as error:
        raise NotFound(f"{path} holds keys of a model that is not where it was. {error}") from None
    if reader.fingerprint != found.manifest.fingerprint:
        raise Mismatch(
            f"{path} holds keys of {named.removeprefix(KIND)} as it was, or by another precision. Write them again "
            "with `retr keys`, to another folder."
        )
    rows = KeptRows.of(found)

    def answer(query: str, texts: Sequence[str]) -> Floats:
        return reader.score(query, rows_of(texts, rows, reader))

    about = {"name": path.resolve().name, "source": str(path), "runtime": reader.runtime, "stored": len(found)}
    return TrainedScorer(answer, True, {**reader.identity, "keys": found.manifest.dtype}, about)


@dataclass(frozen=True, slots=True, eq=False)
class KeptRows:
    """Rows by their texts' ids: `ids` sorted, [texts], and each one's row; `parts` are the shards, mapped."""

    ids: NDArray[np.bytes_]
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    parts: tuple[Rows, ...]

    @classmethod
    def of(cls, folder: EncodedFolder) -> "KeptRows":
        """Those of a finished folder, whose files are of the size that they were written with."""
        names: list[str] = []
        parts: list[Rows] = []
        for block in folder.blocks(check=False):
            names += block.ids
            parts.append(block.values)
        ids = np.array(names, "S32")
        order = np.argsort(ids)
        starts = np.cumsum([0, *(len(part) for part in parts)])[:-1]
        return cls(ids[order], order, starts, tuple(parts))

    def find(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Each text's row, -1 for one that is not there."""
        wanted = np.array([id_of(text) for text in texts], "S32")
        places = np.searchsorted(self.ids, wanted)
        found = np.full(len(texts), -1, np.int64)
        there = places < len(self.ids)
        there[there] = self.ids[places[there]] == wanted[there]
        found[there] = self.rows[places[there]]
        return found

    def take(self, row: int) -> Floats:
        """float32 [numbers]."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        found: Floats = self.parts[part][row - int(self.starts[part])].astype(np.float32)
        return found


def rows_of(texts: Sequence[str], kept: KeptRows, reader: KeyReader) -> Floats:
    """float32 [texts, numbers] in order; what is not kept is read now, and rounded as if it had been."""
    places = kept.find(texts)
    found = np.empty((len(texts), reader.dim), np.float32)
    for at in np.flatnonzero(places >= 0):
        found[at] = kept.take(int(places[at]))
    new = np.flatnonzero(places < 0)
    if len(new):
        dtype = kept.parts[0].dtype if kept.parts else np.dtype(np.float32)
        with np.errstate(over="ignore"):
            found[new] = reader.encode_documents([texts[at] for at in new.tolist()]).values.astype(dtype)
    return found
