"""The reading half of a collection: one generation at a time, any number of threads and processes."""

import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.answering import Answering, RerankBy, for_picture
from retr.index.dense.gpu import Device
from retr.index.disk.fsio import Disk
from retr.index.disk.leases import live_manifest
from retr.index.disk.manifest import EncoderFacts, Manifest
from retr.index.disk.segments import LATE
from retr.index.hits import Near, near
from retr.index.lexical.postings import analyzer
from retr.index.lexical.snippets import SNIPPET_CHARACTERS, Snippet, snippet, snippet_of
from retr.index.loading import Encoders, LoadEncoder
from retr.index.matching import matched_spans
from retr.index.opened import Opened
from retr.index.searching import check_query
from retr.index.settings import Mode, SearchSettings, check_k
from retr.index.snapshot import Snapshot, open_snapshot
from retr.index.writing.batch import given_vectors
from retr.retrieval.chunking import Chunker
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.filters import Filter
from retr.retrieval.pictures import Picture, as_picture
from retr.retrieval.protocols import Encoder
from retr.retrieval.records import Document, Hit

_NEAREST = SearchSettings(mode="dense")

_moving = threading.Lock()


def _new_lock() -> None:
    """A thread that held the lock when the process was forked does not live on in the child to let go of it."""
    global _moving
    _moving = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


class Reading:
    """What can be asked of a collection. It stays on one generation until `refresh()`."""

    def __init__(
        self,
        snapshot: Snapshot,
        load: LoadEncoder,
        *,
        late: LoadEncoder | None = None,
        disk: Disk | None = None,
        device: Device | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._device = device
        self._encoders = Encoders(snapshot.folder, load, late)
        self._disk = disk or Disk()

    def _opened(self) -> AbstractContextManager[Opened]:
        """What is read of, for one call."""
        return nullcontext(self._snapshot)

    def __len__(self) -> int:
        return self.manifest.live_documents

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._snapshot.folder

    @property
    def home(self) -> str:
        """Where it is kept, to be shown: a folder, or the address of a store without secrets."""
        return str(self.folder)

    @property
    def manifest(self) -> Manifest:
        """What the opened generation holds."""
        return self._snapshot.manifest

    @property
    def placement(self) -> list[str]:
        """Where each segment's vectors of passages are searched, then its tokens'; with the reason where it is not the
        device asked for."""
        kept = (self._snapshot.dense, self._snapshot.late)
        return [where for one in kept if one is not None for where in one.placement]

    @property
    def encoder(self) -> Encoder:
        """The encoder it was made with, of passages if it has two; Mismatch when what loads today is another one."""
        return self._encoders.main(self.manifest)

    @property
    def late_encoder(self) -> Encoder:
        """The encoder of its token vectors. BadInput where it has none, Mismatch when what loads is another one."""
        return self._encoders.late(self.manifest)

    @property
    def chunker(self) -> Chunker:
        """What cuts its documents into passages."""
        return self._encoders.chunker(self.manifest)

    def refresh(self) -> bool:
        """Move on to the live generation; whether there was another one, of this index or of one put in its place."""
        before = self._snapshot
        if live_manifest(self.folder).same_as(before.manifest):
            return False
        newer = open_snapshot(self.folder, before, self._device)
        with _moving:
            # Another thread may have gone further meanwhile; a writer would lose commits if it went back.
            if self._snapshot is before or newer.manifest.generation > self._snapshot.manifest.generation:
                self._snapshot = newer
        return True

    def get(self, ids: Iterable[str]) -> list[Document]:
        """The documents with these ids, in the order given; unknown ids are left out."""
        wanted = check_ids(ids)
        with self._opened() as snapshot:
            numbers = snapshot.numbers_of(wanted)
            found = snapshot.documents(numbers.values())
        return [found[numbers[id]] for id in wanted if id in numbers]

    def vectors(self, ids: Iterable[str]) -> dict[str, Floats]:
        """What is stored of each document's passages, by id: float32 [passages, dim]. Unknown ids are left out.

        BadInput for a collection without vectors.
        """
        with self._opened() as snapshot:
            if snapshot.dense is None:
                raise BadInput(snapshot.manifest.without_vectors)
            rows = {id: snapshot.rows_of(number) for id, number in snapshot.numbers_of(check_ids(ids)).items()}
            return {id: snapshot.dense.vectors(of_one) for id, of_one in rows.items()}

    def ids(self, where: str | Filter | None = None) -> list[str]:
        """The ids of all documents, or of those for which the filter holds, in the order they were added."""
        snapshot = self._snapshot
        chosen = snapshot.documents_where(where)
        return [id for number, id in snapshot.all_ids() if chosen[number]]

    def count(self, where: str | Filter | None = None) -> int:
        """How many documents there are, or for how many the filter holds."""
        return int(np.count_nonzero(self._snapshot.documents_where(where)))

    def describe(self) -> dict[str, Any]:
        """What it holds and what it was made with, as JSON values."""
        manifest = self.manifest
        settings = dict(manifest.settings)
        if manifest.late is None:
            settings.pop("late", None)
        return {
            "index": str(self.folder),
            "documents": manifest.live_documents,
            "passages": manifest.live_passages,
            "deleted": manifest.next_document - manifest.live_documents,
            "generation": manifest.generation,
            "created": manifest.created,
            "segments": len(manifest.segments),
            "bytes": sum(facts.bytes for facts in manifest.files().values()),
            "settings": settings,
            "dense": [dict(segment.dense) for segment in manifest.segments if segment.dense],
            "encoder": _described(manifest.encoder),
            **self._late_facts(),
        }

    def _late_facts(self) -> dict[str, Any]:
        """What there is to say of token vectors, where there are any."""
        manifest = self.manifest
        if manifest.late is None:
            return {}
        files = [facts.bytes for name, facts in manifest.files().items() if f"/{LATE}/" in name]
        held = [dict(segment.late) for segment in manifest.segments if segment.late]
        tokens = sum(int(one["tokens"]) for one in held)
        each = round(sum(files) / tokens, 1) if tokens else None
        return {"late": held, "tokens": tokens, "bytes_a_token": each, "late_encoder": _described(manifest.late)}

    def search(  # noqa: PLR0913  # what is asked, in either form, and the three settings that are asked for most
        self,
        query: str = "",
        k: int = 10,
        *,
        image: str | Path | bytes | Picture | None = None,
        where: str | Filter | None = None,
        mode: Mode | None = None,
        rerank: RerankBy | None = None,
        settings: SearchSettings | None = None,
    ) -> list[Hit]:
        """The k best hits. `where` and `mode` are short for the same fields of `settings`.

        In place of the query an `image` may be given, by its path or its bytes, where an encoder here reads images.
        """
        chosen = settings or SearchSettings()
        if where is not None:
            chosen = replace(chosen, where=where)
        if mode is not None:
            chosen = replace(chosen, mode=mode)
        if image is None:
            return self.search_many([query], k, settings=chosen, rerank=rerank)[0]
        if query:
            raise BadInput(f"Give either a query or an image, not both; got the query {query[:80]!r} too.")
        picture = as_picture(image)
        with self._opened() as snapshot:
            asked = for_picture(snapshot.manifest, chosen, rerank)
            return Answering(snapshot, self._encoders, asked, rerank).answers([picture], check_k(k))[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        settings: SearchSettings | None = None,
        rerank: RerankBy | None = None,
    ) -> list[list[Hit]]:
        """The k best hits of each query, in the order given. The filter is evaluated and the queries encoded once.

        With `rerank="late"`, hits of another mode are scored by their tokens as they are kept, and nothing is encoded.
        """
        chosen = settings or SearchSettings()
        texts = [check_query(query) for query in queries]
        if not texts:
            return []
        with self._opened() as snapshot:
            return Answering(snapshot, self._encoders, chosen, rerank).answers(texts, check_k(k))

    def nearest(
        self, vectors: NDArray[np.float32], k: int = 10, *, where: str | Filter | None = None, exact: bool = False
    ) -> list[list[Near]]:
        """The k documents whose best passage is nearest to each vector: ids and scores, no texts.

        `vectors` is float32 [queries, dim] or [dim], as the encoder gives them; `exact` scores every stored vector.
        """
        settings = _NEAREST if where is None and not exact else replace(_NEAREST, where=where, exact=exact)
        with self._opened() as snapshot:
            manifest = snapshot.manifest
            if manifest.encoder is None or manifest.dim is None:
                raise BadInput(f"{manifest.without_vectors} Use search.")
            queries = given_vectors(vectors, manifest.encoder, manifest.dim)
            legs = snapshot.ranker(settings).vector_legs(Vectors(queries), check_k(k))
            return [near(snapshot, leg.keys, leg.scores) for leg in legs]

    def snippet(self, hit: Hit, query: str, *, width: int | None = None) -> Snippet:
        """The part of a hit's text that answers best, about `width` characters, with what matched marked.

        That are the query's words, or where the hit's `explain` names them, the tokens that the query's matched best.
        """
        width, tokens = width or SNIPPET_CHARACTERS, matched_spans(hit)
        if tokens is not None:
            return snippet_of(hit.text, tokens, width=width)
        return snippet(hit.text, query, analyzer(str(self.manifest.settings["language"])), width=width)


def _described(encoder: EncoderFacts | None) -> dict[str, Any] | None:
    if encoder is None:
        return None
    facts = {name: getattr(encoder, name) for name in ("spec", "fingerprint", "dim", "similarity")}
    return {**encoder.describe, **facts}


def check_ids(ids: Iterable[str]) -> list[str]:
    """Ids as a list, or BadInput for a single string."""
    if isinstance(ids, str):
        raise BadInput(f"Ids are given as a list, such as [{ids!r}]; got the string {ids!r}.")
    return list(ids)
