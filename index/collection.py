"""Collection: documents, their vectors and their postings in one folder, bound to the encoder they were made with."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from retr.index.fsio import Disk
from retr.index.generations import collect_garbage
from retr.index.lexical import analyzer
from retr.index.lock import WriterLock
from retr.index.manifest import EncoderFacts, Manifest, check_new_folder, read_current, write_current
from retr.index.searching import Ranked, Searcher, check_query
from retr.index.settings import CollectionSettings, Mode, SearchSettings, WriteSettings, check_k
from retr.index.snapshot import Snapshot, open_snapshot
from retr.index.snippets import SNIPPET_CHARACTERS, Snippet, snippet
from retr.index.writing import AddReport, Writer
from retr.retrieval.chunking import Chunker, ChunkSettings, page_of
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Encoder, Scorer, TokenAware
from retr.retrieval.records import Document, Hit
from retr.retrieval.rerank import rerank as rerank_hits

GOLDEN_TEXT = "A golden text: the vector of this sentence tells one encoder from another."

LoadEncoder = Callable[[str], Encoder]


class Collection:
    """One index folder. Reads one generation until `refresh()`; writes under a lock that only one process can hold."""

    def __init__(self, snapshot: Snapshot, load: LoadEncoder, *, disk: Disk | None = None) -> None:
        self._snapshot = snapshot
        self._load = load
        self._disk = disk or Disk()

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        encoder: Encoder | None,
        spec: str = "",
        settings: CollectionSettings | None = None,
        disk: Disk | None = None,
    ) -> Self:
        """A new, empty collection. `spec` names the encoder, to load it again; no encoder makes it lexical only."""
        folder, disk = Path(path), disk or Disk()
        check_new_folder(folder)
        disk.make_folder(folder)
        with WriterLock(folder):
            check_new_folder(folder)
            chosen = settings or CollectionSettings()
            _make_chunker(chosen.chunk, encoder)
            facts = None if encoder is None else _facts(encoder, spec)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            write_current(disk, folder, Manifest(1, facts, asdict(chosen), now))
        return cls(open_snapshot(folder), lambda _: _given(encoder), disk=disk)

    @classmethod
    def open(cls, path: str | Path, *, load: LoadEncoder, disk: Disk | None = None) -> Self:
        """An existing collection; `load` makes the encoder from its spec, when it is first needed."""
        return cls(open_snapshot(Path(path)), load, disk=disk)

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

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder it was made with; Mismatch when what loads today is another one."""
        facts = self.manifest.encoder
        if facts is None:
            raise BadInput(
                "This collection has no encoder: it was made with --encoder none and answers --mode lexical."
            )
        encoder = self._load(facts.spec)
        if encoder.fingerprint != facts.fingerprint or encoder.dim != facts.dim:
            raise Mismatch(
                f"The index {str(self.folder)!r} was made with {facts.spec} (fingerprint {facts.fingerprint[:12]}, dim "
                f"{facts.dim}); the encoder given has fingerprint {encoder.fingerprint[:12]}, dim {encoder.dim}. "
                "Use the encoder it was made with, or make a new index."
            )
        return encoder

    def refresh(self) -> bool:
        """Move on to the live generation; whether there was a newer one."""
        if read_current(self.folder).generation == self.manifest.generation:
            return False
        self._snapshot = open_snapshot(self.folder)
        return True

    def add(self, documents: Iterable[Document], *, settings: WriteSettings | None = None) -> AddReport:
        """Add documents, replacing those whose id is known; what is unchanged is not encoded again.

        Commits as it goes: after a crash or an error, everything up to the last commit is there, and adding the same
        documents again goes on from it. Moves this collection on to the new generation.
        """
        with WriterLock(self.folder):
            self.refresh()
            writer = self._writer(settings or WriteSettings())
            try:
                for document in documents:
                    writer.add(document)
            except BadInput:
                writer.commit()
                self.refresh()
                raise
            report = writer.finish()
        self.refresh()
        return report

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; says how many there were. They are found no more from the next generation on."""
        chosen = _ids(ids)
        with WriterLock(self.folder):
            self.refresh()
            writer = self._writer(WriteSettings())
            removed = writer.delete(chosen)
            writer.commit()
        self.refresh()
        return removed

    def _writer(self, settings: WriteSettings) -> Writer:
        collect_garbage(self._disk, self.folder)
        return Writer(self._snapshot, lambda: self.encoder, lambda: self._chunker, settings=settings, disk=self._disk)

    @cached_property
    def _chunker(self) -> Chunker:
        settings = ChunkSettings(**self.manifest.settings["chunk"])
        return _make_chunker(settings, self.encoder if self.manifest.encoder is not None else None)

    def get(self, ids: Iterable[str]) -> list[Document]:
        """The documents with these ids, in the order given; unknown ids are left out."""
        numbers = self._snapshot.number_of
        known = [numbers[id] for id in _ids(ids) if id in numbers]
        found = self._snapshot.documents(known)
        return [found[number] for number in known]

    def ids(self, where: str | None = None) -> list[str]:
        """The ids of all documents, or of those for which the filter holds, in the order they were added."""
        chosen = self._snapshot.documents_where(where)
        return [id for id, number in self._snapshot.number_of.items() if chosen[number]]

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
            "encoder": encoder,
        }

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: str | None = None,
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
        searcher = Searcher(self._snapshot, chosen)
        vectors = self._encode_queries(texts) if searcher.needs_vectors and len(self) else None
        wanted = check_k(k) if rerank is None else max(check_k(k), chosen.rerank_depth)
        found = searcher.search(texts, vectors, wanted)
        hits = [self._hits(ranked, explain=chosen.explain) for ranked in found]
        if rerank is not None:
            hits = [
                rerank_hits(text, each, rerank, depth=chosen.rerank_depth)
                for text, each in zip(texts, hits, strict=True)
            ]
        return [each[:k] for each in hits]

    def snippet(self, hit: Hit, query: str, *, width: int | None = None) -> Snippet:
        """The part of a hit's text that answers best, about `width` characters, with the matched words marked."""
        return snippet(
            hit.text, query, analyzer(str(self.manifest.settings["language"])), width=width or SNIPPET_CHARACTERS
        )

    def _encode_queries(self, texts: Sequence[str]) -> Vectors:
        vectors = self.encoder.encode_queries(texts)
        if not isinstance(vectors, Vectors):
            raise Mismatch("The encoder gives one vector a token; this collection holds one a text.")
        return vectors

    def _hits(self, ranked: Sequence[Ranked], *, explain: bool) -> list[Hit]:
        places = self._snapshot.places([one.row for one in ranked])
        hits = []
        for rank, (one, place) in enumerate(zip(ranked, places, strict=True), start=1):
            document = place.document
            source: dict[str, Any] = {k: v for k, v in document.source.items() if k != "page_starts"}
            source |= {"passage": place.ordinal, "start": place.start, "end": place.end}
            page = page_of(document, place.start)
            if page is not None:
                source["page"] = page
            hits.append(
                Hit(
                    id=document.id,
                    score=one.score,
                    rank=rank,
                    title=document.title,
                    text=document.text[place.start : place.end],
                    metadata=document.metadata,
                    source=source,
                    explain=one.explain if explain else None,
                )
            )
        return hits


def _ids(ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str):
        raise BadInput(f"Ids are given as a list, such as [{ids!r}]; got the string {ids!r}.")
    return list(ids)


def _make_chunker(settings: ChunkSettings, encoder: Encoder | None) -> Chunker:
    if isinstance(encoder, TokenAware):
        return Chunker(settings, encoder.tokenizer, encoder.max_tokens)
    return Chunker(settings)


def _facts(encoder: Encoder, spec: str) -> EncoderFacts:
    golden = encoder.encode_documents([GOLDEN_TEXT])
    if not isinstance(golden, Vectors):
        raise BadInput("This encoder gives one vector a token; a late-interaction index is needed for it.")
    describe: dict[str, Any] = getattr(encoder, "describe", dict)()
    kind = type(encoder)
    return EncoderFacts(
        spec=spec or f"{kind.__module__}:{kind.__qualname__}",
        fingerprint=encoder.fingerprint,
        dim=encoder.dim,
        similarity=encoder.similarity,
        describe=describe,
        golden=tuple(float(value) for value in np.round(golden.values[0], 6)),
    )


def _given(encoder: Encoder | None) -> Encoder:
    assert encoder is not None
    return encoder
