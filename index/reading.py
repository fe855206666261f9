"""The reading half of a collection: one generation at a time, any number of threads and processes."""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.gpu import Device
from retr.index.disk.fsio import Disk
from retr.index.disk.leases import live_manifest
from retr.index.disk.manifest import EncoderFacts, Manifest
from retr.index.hits import Near, hits, near
from retr.index.lexical.postings import analyzer
from retr.index.lexical.snippets import SNIPPET_CHARACTERS, Snippet, snippet
from retr.index.remembering import QueryVectors
from retr.index.rescoring import over_stored, reads_stored
from retr.index.searching import Searcher, check_query
from retr.index.settings import Mode, SearchSettings, check_k
from retr.index.snapshot import Snapshot, open_snapshot
from retr.index.writing.batch import given_vectors, stored
from retr.index.writing.creation import given, make_chunker
from retr.retrieval.chunking import Chunker, ChunkSettings
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.filters import Filter
from retr.retrieval.protocols import Encoder, Scorer
from retr.retrieval.records import Document, Hit
from retr.retrieval.rerank import rerank as rerank_hits

_NEAREST = SearchSettings(mode="dense")

LoadEncoder = Callable[[str], Encoder]

_moving = threading.Lock()


def _new_lock() -> None:
    """A thread that held the lock when the process was forked does not live on in the child to let go of it."""
    global _moving
    _moving = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """An encoder, what it was loaded for, and what it has encoded before."""

    encoder: Encoder
    wanted: tuple[str, int | None, int]
    remembered: QueryVectors = field(default_factory=QueryVectors)


class Reading:
    """What can be asked of a collection. It stays on one generation until `refresh()`."""

    def __init__(
        self, snapshot: Snapshot, load: LoadEncoder, *, disk: Disk | None = None, device: Device | None = None
    ) -> None:
        self._snapshot = snapshot
        self._device = device
        self._load = load
        self._disk = disk or Disk()
        self._held: _Held | None = None
        self._cut: tuple[Encoder | None, Chunker] | None = None

    def __len__(self) -> int:
        return self.manifest.live_documents

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self._snapshot.folder

    @property
    def manifest(self) -> Manifest:
        """What the opened generation holds."""
        return self._snapshot.manifest

    @property
    def placement(self) -> list[str]:
        """Where the vectors of each segment are searched; with the reason where it is not the device asked for."""
        return [] if self._snapshot.dense is None else list(self._snapshot.dense.placement)

    @property
    def encoder(self) -> Encoder:
        """The encoder it was made with; Mismatch when what loads today is another one."""
        return self._held_for(self.manifest).encoder

    def _held_for(self, manifest: Manifest) -> _Held:
        """A generation's encoder: `retr reindex` may have given it another than the generation before."""
        facts, held = manifest.encoder, self._held
        # Threads of a model runtime do not survive a fork: a child loads its own.
        wanted = ("" if facts is None else facts.fingerprint, manifest.dim, os.getpid())
        if held is None or held.wanted != wanted:
            held = self._held = _Held(self._loaded(facts), wanted)
        return held

    def _loaded(self, facts: EncoderFacts | None) -> Encoder:
        if facts is None:
            raise BadInput(
                "This collection has no encoder: it was made with --encoder none and answers --mode lexical."
            )
        encoder = given(facts) or self._load(facts.spec)
        if encoder.fingerprint != facts.fingerprint or encoder.dim != facts.dim:
            raise Mismatch(
                f"The index {str(self.folder)!r} was made with {facts.spec} (fingerprint {facts.fingerprint[:12]}, dim "
                f"{facts.dim}); the encoder given has fingerprint {encoder.fingerprint[:12]}, dim {encoder.dim}. "
                "Use the encoder it was made with, or make a new index."
            )
        return encoder

    @property
    def _chunker(self) -> Chunker:
        encoder = self.encoder if self.manifest.encoder is not None else None
        if self._cut is None or self._cut[0] is not encoder:
            self._cut = encoder, make_chunker(ChunkSettings(**self.manifest.settings["chunk"]), encoder)
        return self._cut[1]

    def refresh(self) -> bool:
        """Move on to the live generation; whether there was a newer one."""
        before = self._snapshot
        if live_manifest(self.folder).generation == before.manifest.generation:
            return False
        newer = open_snapshot(self.folder, before, self._device)
        with _moving:
            # Another thread may have gone further meanwhile; a writer would lose commits if it went back.
            if self._snapshot is before or newer.manifest.generation > self._snapshot.manifest.generation:
                self._snapshot = newer
        return True

    def get(self, ids: Iterable[str]) -> list[Document]:
        """The documents with these ids, in the order given; unknown ids are left out."""
        snapshot, wanted = self._snapshot, check_ids(ids)
        numbers = snapshot.numbers_of(wanted)
        found = snapshot.documents(numbers.values())
        return [found[numbers[id]] for id in wanted if id in numbers]

    def vectors(self, ids: Iterable[str]) -> dict[str, Floats]:
        """What is stored of each document's passages, by id: float32 [passages, dim]. Unknown ids are left out.

        BadInput for a collection without vectors.
        """
        snapshot = self._snapshot
        if snapshot.dense is None:
            raise BadInput("This collection has no vectors: it was made with --encoder none.")
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
        encoder = None
        if manifest.encoder is not None:
            facts = asdict(manifest.encoder)
            encoder = {
                **facts.pop("describe"),
                **{name: facts[name] for name in ("spec", "fingerprint", "dim", "similarity")},
            }
        return {
            "index": str(self.folder),
            "documents": manifest.live_documents,
            "passages": manifest.live_passages,
            "deleted": manifest.next_document - manifest.live_documents,
            "generation": manifest.generation,
            "created": manifest.created,
            "segments": len(manifest.segments),
            "bytes": sum(facts.bytes for facts in manifest.files().values()),
            "settings": dict(manifest.settings),
            "dense": [dict(segment.dense) for segment in manifest.segments if segment.dense],
            "encoder": encoder,
        }

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: str | Filter | None = None,
        mode: Mode | None = None,
        rerank: Scorer | None = None,
        settings: SearchSettings | None = None,
    ) -> list[Hit]:
        """The k best hits. `where` and `mode` are short for the same fields of `settings`."""
        chosen = settings or SearchSettings()
        if where is not None:
            chosen = replace(chosen, where=where)
        if mode is not None:
            chosen = replace(chosen, mode=mode)
        return self.search_many([query], k, settings=chosen, rerank=rerank)[0]

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        settings: SearchSettings | None = None,
        rerank: Scorer | None = None,
    ) -> list[list[Hit]]:
        """The k best hits of each query, in the order given. The filter is evaluated and the queries encoded once."""
        chosen = settings or SearchSettings()
        texts = [check_query(query) for query in queries]
        if not texts:
            return []
        snapshot = self._snapshot
        searcher = Searcher(snapshot, chosen)
        needed = searcher.needs_vectors and snapshot.manifest.live_documents
        vectors = self._encode_queries(snapshot.manifest, texts) if needed else None
        wanted = check_k(k) if rerank is None else max(check_k(k), chosen.rerank_depth)
        found = searcher.search(texts, vectors, wanted)
        answers = [hits(snapshot, ranked, explain=chosen.explain) for ranked in found]
        if rerank is not None:
            scorers: Sequence[Scorer] = [rerank] * len(texts)
            if reads_stored(rerank, snapshot):
                vectors = vectors if vectors is not None else self._encode_queries(snapshot.manifest, texts)
                scorers = over_stored(rerank, snapshot, vectors, found)
            answers = [
                rerank_hits(text, each, scorer, depth=chosen.rerank_depth)
                for text, each, scorer in zip(texts, answers, scorers, strict=True)
            ]
        return [each[:k] for each in answers]

    def nearest(
        self, vectors: NDArray[np.float32], k: int = 10, *, where: str | Filter | None = None, exact: bool = False
    ) -> list[list[Near]]:
        """The k documents whose best passage is nearest to each vector: ids and scores, no texts.

        `vectors` is float32 [queries, dim] or [dim], as the encoder gives them; `exact` scores every stored vector.
        """
        snapshot = self._snapshot
        if snapshot.dense is None or snapshot.dim is None or snapshot.manifest.encoder is None:
            raise BadInput("This collection has no vectors: it was made with --encoder none. Use search with lexical.")
        queries = given_vectors(vectors, snapshot.manifest.encoder, snapshot.dim)
        settings = _NEAREST if where is None and not exact else replace(_NEAREST, where=where, exact=exact)
        legs = Searcher(snapshot, settings).dense_legs(Vectors(queries), check_k(k))
        return [near(snapshot, leg.keys, leg.scores) for leg in legs]

    def snippet(self, hit: Hit, query: str, *, width: int | None = None) -> Snippet:
        """The part of a hit's text that answers best, about `width` characters, with the matched words marked."""
        return snippet(
            hit.text, query, analyzer(str(self.manifest.settings["language"])), width=width or SNIPPET_CHARACTERS
        )

    def _encode_queries(self, manifest: Manifest, texts: Sequence[str]) -> Vectors:
        held = self._held_for(manifest)
        facts, dim = manifest.encoder, manifest.dim
        assert facts is not None and dim is not None

        def encode(missing: list[str]) -> Floats:
            vectors = held.encoder.encode_queries(missing)
            if not isinstance(vectors, Vectors):
                raise Mismatch("The encoder gives one vector a token; this collection holds one a text.")
            return stored(vectors, facts, dim)

        return Vectors(held.remembered.of(texts, encode))


def check_ids(ids: Iterable[str]) -> list[str]:
    """Ids as a list, or BadInput for a single string."""
    if isinstance(ids, str):
        raise BadInput(f"Ids are given as a list, such as [{ids!r}]; got the string {ids!r}.")
    return list(ids)
