"""retr through its Python API, end to end: filters are its own language, answers its own ids and scores.

options  {"dense": fields of DenseSettings, such as {"kind": "pq", "recall": 0.95}, "compact": bool}; none: what a user
gets who chooses nothing. A large `add` is committed in several segments; `compact` makes one of them, inside the build.
The parameters of a search are calibrated when the collection is built, so there is nothing to sweep.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stores.protocol import Floats, Options, Rows, Setting


class Retr:
    """One collection of given vectors."""

    sweep: Sequence[Setting] = [{}]
    filters = True

    def __init__(self, dense: Options, compact: bool) -> None:
        self.dense, self.compact = dense, compact

    def build(self, folder: Path, rows: Rows) -> None:
        """One `add`. A document must have a text: it gets its id, which is also indexed by words, as all texts are."""
        import retr
        from retr.index.dense.settings import DenseSettings
        from retr.index.settings import CollectionSettings

        settings = CollectionSettings(dense=DenseSettings(**self.dense))
        encoder = retr.GivenVectors(dim=rows.vectors.shape[1])
        collection = retr.create(folder / "docs", encoder=encoder, settings=settings)
        pairs = enumerate(zip(rows.buckets.tolist(), rows.sets, strict=True))
        documents = (
            retr.Document(f"s{row}", f"s{row}", metadata={"bucket": bucket, "set": name})
            for row, (bucket, name) in pairs
        )
        collection.add(documents, vectors=rows.vectors)
        if self.compact and len(collection.manifest.segments) > 1:
            collection.compact()

    def open(self, folder: Path) -> None:
        """The collection on disk."""
        import retr

        self.collection = retr.open(folder / "docs")

    def tune(self, setting: Setting) -> None:
        """Nothing to choose."""

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Ids."""
        return [near.id for near in self.collection.nearest(query, k)[0]]

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Ids."""
        return [near.id for near in self.collection.nearest(query, k, where=f"bucket >= {low} and bucket < {high}")[0]]

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """`s12` is row 12."""
        return [int(id[1:]) for id in ids]


def store(options: Options) -> Retr:
    """With these settings."""
    return Retr(options.get("dense", {}), options.get("compact", False))
