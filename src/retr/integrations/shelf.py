"""A collection as a framework's store sees it: made when it is not there, used by many threads, read at its newest."""

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retr import opening
from retr.index.collection import Collection
from retr.index.disk.manifest import holds_index
from retr.index.settings import CollectionSettings, SearchSettings, WriteSettings
from retr.index.stores import connect, is_store
from retr.integrations.diversity import most_diverse
from retr.integrations.embedders import EmbedderEncoder, is_name
from retr.retrieval.errors import NotFound
from retr.retrieval.filters import Field, Filter, In
from retr.retrieval.fusion import METHODS
from retr.retrieval.protocols import Encoder, Scorer
from retr.retrieval.records import Document, Hit

Where = str | Filter | None
Vector = Sequence[float] | NDArray[np.float32]

ID = Field(("id",))
WAIT_SECONDS = 10.0
NO_ENCODER = "none"
AT_ONCE = 4096
"""Documents that are looked at together, where each must be."""


class Shelf:
    """Documents by id, found by text or by vector. What other processes commit is seen at the next call.

    `path` is a folder, or the address of a store; without it the index is a temporary one, removed with the shelf.
    `encoder` is a spec, an object, or "none" for an index of words alone; None: the one that the index names, or for a
    new index the default one. Without `create`, NotFound when there is no index. A write waits up to `wait_seconds` for
    another process's.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        encoder: str | Encoder | None = None,
        create: bool = True,
        settings: CollectionSettings | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._writes = WriteSettings(on_duplicate="skip", wait_seconds=wait_seconds)
        self._wait_seconds = wait_seconds
        self._writing = threading.Lock()
        home = _home(self._temporary() if path is None else path)
        if not create or (connect(home).exists() if isinstance(home, str) else holds_index(home)):
            self._collection = _opened(home, None if encoder == NO_ENCODER else encoder)
        else:
            self._collection = _made(home, encoder or opening.DEFAULT_ENCODER, settings)

    def _temporary(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="retr-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    @property
    def collection(self) -> Collection:
        """The collection, on its live generation."""
        self._collection.refresh()
        return self._collection

    def write(self, documents: Sequence[Document], vectors: NDArray[np.float32] | None = None) -> None:
        """Add or replace documents; of an id that comes twice the last is kept. `vectors` is float32 [documents, dim].

        A document with a vector of its own is never cut into passages.
        """
        last = {document.id: place for place, document in enumerate(documents)}
        kept = [documents[place] for place in last.values()]
        if not kept:
            return
        with self._writing:
            chosen = None if vectors is None else vectors[list(last.values())]
            self._collection.add(kept, vectors=chosen, settings=self._writes)

    def rewrite(self, documents: Sequence[Document]) -> None:
        """Replace documents by others with the same ids and texts: their vectors are kept."""
        facts = self.collection.manifest.encoder
        if facts is None or facts.spec != "given" or not documents:
            self.write(documents)
            return
        stored = self._collection.vectors(document.id for document in documents)
        self.write(documents, np.concatenate([stored[document.id] for document in documents]))

    def remove(self, ids: Iterable[str]) -> int:
        """Delete documents by id; gives how many there were."""
        chosen = list(dict.fromkeys(ids))
        if not chosen:
            return 0
        with self._writing:
            return self._collection.delete(chosen, wait_seconds=self._wait_seconds)

    def compact(self) -> None:
        """Erase from the files what was deleted and replaced."""
        with self._writing:
            self._collection.compact(wait_seconds=self._wait_seconds)

    def known(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that are there, in the order given."""
        return [document.id for document in self.collection.get(dict.fromkeys(ids))]

    def where(self, passes: Callable[[Document], bool], among: Where = None) -> Filter:
        """The filter that lets the documents pass of which this is true; each that passes `among` is looked at now."""
        collection = self.collection
        ids = collection.ids(among)
        parts = (collection.get(ids[start : start + AT_ONCE]) for start in range(0, len(ids), AT_ONCE))
        return In(ID, tuple(document.id for part in parts for document in part if passes(document)))

    def by_text(
        self, query: str, k: int, *, settings: SearchSettings, rerank: Scorer | None = None, whole: bool = True
    ) -> list[Hit]:
        """The k best documents for a text, best first; with `whole`, each hit's text is its document's, not cut."""
        if k < 1:
            return []
        hits = self.collection.search(query, k, settings=settings, rerank=rerank)
        return self._hits((hit.id, hit.score) for hit in hits) if whole else hits

    def by_vector(self, vector: Vector, k: int, where: Where = None) -> list[Hit]:
        """The k documents nearest to a vector [dim], best first."""
        if k < 1:
            return []
        return self._hits(self.collection.nearest(_row(vector), k, where=where)[0])

    def by_both(
        self,
        query: str,
        vector: Vector,
        k: int,
        *,
        where: Where = None,
        where_near: Where = None,
        weights: tuple[float, float] = (1.0, 1.0),
    ) -> list[Hit]:
        """As a hybrid search, for a query whose vector is given: `weights` are those of the vector and of the text.

        `where_near`, if given, is the filter of the search by the vector.
        """
        depth = max(k, SearchSettings().depth)
        collection = self.collection
        near = collection.nearest(_row(vector), depth, where=where if where_near is None else where_near)[0]
        lexical = collection.search(query, depth, settings=SearchSettings(mode="lexical", where=where))
        runs = {
            "dense": [(one.id, one.score) for one in near],
            "lexical": [(hit.id, hit.score) for hit in lexical],
        }
        fused = METHODS["rrf"](runs, weights=dict(zip(runs, weights, strict=True)))
        return self._hits((str(one.id), one.score) for one in fused[: max(k, 0)])

    def by_diversity(self, vector: Vector, k: int, *, among: int, relevance: float, where: Where = None) -> list[Hit]:
        """k of the `among` nearest documents by maximal marginal relevance; scores are those of the nearness alone."""
        collection = self.collection
        nearest = collection.nearest(_row(vector), max(among, k, 1), where=where)[0]
        query = _row(vector)[: collection.manifest.dim]
        stored = collection.vectors(near.id for near in nearest)
        best = [max(stored[near.id], key=lambda passage: float(passage @ query)) for near in nearest]
        chosen = most_diverse(query, np.array(best).reshape(len(best), len(query)), k, relevance=relevance)
        return self._hits(nearest[place] for place in chosen)

    def _hits(self, found: Iterable[tuple[str, float]]) -> list[Hit]:
        scores = dict(found)
        return [
            Hit(
                document.id,
                scores[document.id],
                rank,
                document.title,
                document.text,
                document.metadata,
                document.source,
            )
            for rank, document in enumerate(self._collection.get(scores), start=1)
        ]


def _home(path: str | Path) -> str | Path:
    return path if isinstance(path, str) and is_store(path) else Path(path)


def _opened(home: str | Path, encoder: str | Encoder | None) -> Collection:
    if not isinstance(encoder, EmbedderEncoder):
        opened = opening.open(home, encoder=encoder)
        made_with = opened.manifest.encoder
        if encoder is not None or made_with is None or not is_name(made_with.spec):
            return opened
        return opening.kept_by(home).open(home, load=_embedder_needed)

    def checked(_: str) -> Encoder:
        facts = collection.manifest.encoder
        encoder.check_golden(() if facts is None else facts.golden)
        return encoder

    collection = opening.kept_by(home).open(home, load=checked)
    return collection


def _embedder_needed(name: str) -> Encoder:
    raise NotFound(f"The index was made with the embedder {name}, which only the caller can make. Give it here too.")


def _made(home: str | Path, encoder: str | Encoder, settings: CollectionSettings | None) -> Collection:
    if isinstance(encoder, EmbedderEncoder):
        return opening.kept_by(home).create(home, encoder=encoder, spec=encoder.name, settings=settings)
    return opening.create(home, encoder=None if encoder == NO_ENCODER else encoder, settings=settings)


def _row(vector: Vector) -> NDArray[np.float32]:
    return np.asarray(vector, np.float32)
