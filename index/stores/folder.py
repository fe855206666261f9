"""An index folder as a `VectorStore`: for what moves collections, and what must hold of both. Searches go by
`Collection`, which is quicker: it asks the folder's own indexes without this."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.checking import check_folder
from retr.index.disk.fsio import Disk, make_durable_folder
from retr.index.disk.lock import WriterLock
from retr.index.disk.manifest import Manifest, check_new_folder, holds_index, write_current
from retr.index.disk.segments import Entry
from retr.index.ranking import Leg
from retr.index.settings import SearchSettings
from retr.index.snapshot import Snapshot, open_snapshot
from retr.index.stores.coding import from_bytes, part_of
from retr.index.stores.folder_tokens import FolderTokens
from retr.index.stores.opened import encoder_of
from retr.index.writing.batch import Batch, check_document
from retr.index.writing.commits import Commits
from retr.index.writing.stored import Stored
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.filters import Filter
from retr.retrieval.records import Document
from retr.retrieval.store import (
    CodecUse,
    CodedTokens,
    DenseQuery,
    Found,
    StoredDocument,
    StoreFacts,
    StoreQuery,
    TokensQuery,
    WordsQuery,
    place_of,
    row_of,
)

if TYPE_CHECKING:
    from retr.index.late.codec import Codec
    from retr.index.late.part import LatePart


class FolderSnapshot:
    """One generation of a folder."""

    ordered = True

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def facts(self) -> StoreFacts:
        """What it holds. Terms are not counted here."""
        manifest = self._snapshot.manifest
        return StoreFacts(
            generation=manifest.generation,
            documents=manifest.live_documents,
            passages=manifest.live_passages,
            created=manifest.created,
            encoder=None if manifest.encoder is None else asdict(manifest.encoder),
            settings=manifest.settings,
            late=None if manifest.late is None else asdict(manifest.late),
        )

    def numbers_of(self, ids: Iterable[str]) -> dict[str, int]:
        """The numbers of the documents that have one of these ids."""
        return self._snapshot.numbers_of(ids)

    def ids_of(self, numbers: Iterable[int]) -> dict[int, str]:
        """The ids of documents, by number."""
        chosen = list(numbers)
        return dict(zip(chosen, self._snapshot.ids_of(chosen), strict=True))

    def ids(self, where: Filter | None = None) -> Iterator[tuple[int, str]]:
        """(number, id) of the documents for which the filter holds, by number."""
        chosen = self._snapshot.documents_where(where)
        return ((number, id) for number, id in self._snapshot.all_ids() if chosen[number])

    def count(self, where: Filter | None = None) -> int:
        """For how many documents the filter holds."""
        return int(np.count_nonzero(self._snapshot.documents_where(where)))

    def get(self, numbers: Iterable[int]) -> dict[int, StoredDocument]:
        """Documents by number, without their vectors."""
        rows = {number: self._snapshot.rows_of(number).tolist() for number in numbers}
        places = iter(self._snapshot.places([row for of_one in rows.values() for row in of_one]))
        found = {}
        for number, of_one in rows.items():
            own = [next(places) for _ in of_one]
            spans = [(place.start, place.end) for place in own]
            found[number] = StoredDocument(own[0].document, spans, *self._snapshot.hashes_of(number))
        return found

    def hashes(self, numbers: Iterable[int]) -> dict[int, tuple[bytes, bytes]]:
        """(text hash, record hash) of documents, by number."""
        return {number: self._snapshot.hashes_of(number) for number in numbers}

    def vectors(self, rows: NDArray[np.int64]) -> Floats:
        """The vectors of rows, float32 [rows, dim], in the order given."""
        if self._snapshot.dense is None:
            raise BadInput(self._snapshot.manifest.without_vectors)
        return self._snapshot.dense.vectors(np.array([self._own(row) for row in rows.tolist()], np.int64))

    def codecs(self) -> dict[str, CodecUse]:
        """The codecs of tokens by key, in the order they came."""
        return FolderTokens(self._snapshot).codecs()

    def codec(self, key: str) -> bytes:
        """What was kept as this codec. Damaged where there is none of the key."""
        return FolderTokens(self._snapshot).codec(key)

    def tokens(self, rows: NDArray[np.int64]) -> list[CodedTokens]:
        """The tokens of rows, in the order given."""
        return FolderTokens(self._snapshot).of([self._own(row) for row in rows.tolist()])

    def rows(self, most: int, where: Filter | None = None, codec: str | None = None) -> NDArray[np.int64]:
        """The first rows of documents for which the filter holds, rising; with `codec`, those coded so: int64."""
        numbers = [number for number, _ in self.ids(where)]
        found = [row_of(number, at) for number in numbers for at in range(len(self._snapshot.rows_of(number)))]
        chosen = np.array(found, np.int64)
        if codec is not None:
            chosen = chosen[np.array([one.codec == codec for one in self.tokens(chosen)], np.bool_)]
        return chosen[:most]

    def search(self, query: StoreQuery, k: int, where: Filter | None = None) -> Found:
        """The k best passages of documents for which the filter holds; fewer only where fewer match."""
        if isinstance(query, TokensQuery):
            return self._reached(query, k, where)
        exact = isinstance(query, DenseQuery) and query.exact
        mode = "dense" if isinstance(query, DenseQuery) else "lexical"
        settings = SearchSettings(mode=mode, where=where, group="passage", exact=exact)  # type: ignore[arg-type]
        ranker = self._snapshot.ranker(settings)
        if isinstance(query, DenseQuery):
            return self._found(ranker.vector_legs(Vectors(query.vector[None, :]), k)[0])
        return self._found(ranker.lexical_leg(query.text, k))

    def _reached(self, query: TokensQuery, k: int, where: Filter | None) -> Found:
        rows, scores = FolderTokens(self._snapshot).reached(query)
        allowed = self._snapshot.documents_where(where)[self._snapshot.document_of[rows]]
        rows, scores = rows[allowed][:k], scores[allowed][:k]
        return self._found(Leg("late", rows, scores, rows))

    def explain(self, query: WordsQuery, row: int) -> list[dict[str, Any]]:
        """What each term gave to the row's score."""
        lexical = self._snapshot.lexical
        return [] if lexical is None else lexical.explain(query.text, self._own(row))

    def plan(self, query: StoreQuery, where: Filter | None = None) -> str:
        """How `search` goes about it."""
        return "the folder's own indexes"

    def _own(self, row: int) -> int:
        """The folder's row of a row here."""
        number, ordinal = place_of(row)
        return int(self._snapshot.rows_of(number)[ordinal])

    def _found(self, leg: Leg) -> Found:
        numbers = self._snapshot.document_of[leg.rows]
        first = {number: int(self._snapshot.rows_of(number)[0]) for number in set(numbers.tolist())}
        rows = [row_of(number, row - first[number]) for number, row in zip(numbers.tolist(), leg.rows, strict=True)]
        return Found(np.array(rows, np.int64), numbers, leg.scores)


class FolderStore(FolderSnapshot):
    """A folder. It may not exist yet: `create` makes it."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder, self._disk = folder, disk or Disk()
        self._codecs: dict[str, Codec] = {}

    @property
    def _snapshot(self) -> Snapshot:  # type: ignore[override]  # newest at each call
        return open_snapshot(self._folder)

    @property
    def address(self) -> str:
        """The folder."""
        return str(self._folder)

    def exists(self) -> bool:
        """Whether the folder holds an index."""
        return holds_index(self._folder)

    def create(self, facts: StoreFacts) -> None:
        """Make the collection, empty. BadInput where there is one."""
        check_new_folder(self._folder)
        make_durable_folder(self._disk, self._folder)
        encoder, late = (None if one is None else encoder_of(one) for one in (facts.encoder, facts.late))
        with WriterLock(self._folder):
            check_new_folder(self._folder)
            write_current(
                self._disk, self._folder, Manifest(1, encoder, dict(facts.settings), facts.created, late=late)
            )

    @contextmanager
    def snapshot(self, at_least: int = 0) -> Iterator[FolderSnapshot]:
        """The live generation."""
        yield FolderSnapshot(open_snapshot(self._folder))

    def check_document(self, document: Document) -> None:
        """BadInput for a document that cannot be stored and found again."""
        check_document(document, needs_text=False)

    def keep_codec(self, key: str, data: bytes) -> None:
        """Know a codec, so that tokens coded by it can be written; each segment has its own on disk."""
        self._codecs[key] = from_bytes(data)

    def recode(self, tokens: Mapping[int, CodedTokens]) -> int:
        """Not for a folder, where merging does so."""
        raise BadInput(f"{str(self._folder)!r} is a folder: merging codes its tokens anew. Use retr compact --bits.")

    def upsert(self, documents: Sequence[StoredDocument], removed: Iterable[int] = ()) -> int:
        """Write documents in the place of those that have their ids, and remove some by number, all or nothing.

        BadInput where the tokens of several codecs come together: a segment has one.
        """
        with WriterLock(self._folder):
            return self._write(documents, removed)

    def _write(self, documents: Sequence[StoredDocument], removed: Iterable[int]) -> int:
        snapshot = open_snapshot(self._folder)
        batch = Batch(snapshot.manifest)
        for stored in documents:
            entry = Entry(stored.document, stored.spans, stored.text_hash, stored.record_hash)
            batch.put(entry, Stored(stored.vectors))
        batch.coded = self._part(documents) if snapshot.manifest.late is not None and documents else None
        replaced = snapshot.numbers_of(stored.document.id for stored in documents).values()
        commits = Commits(snapshot, self._disk, merging=False)
        return commits.commit(batch, {*removed, *replaced})

    def _part(self, documents: Sequence[StoredDocument]) -> "LatePart":
        each = [one for stored in documents for one in stored.tokens or ()]
        keys = {one.codec for one in each}
        if len(keys) != 1 or len(each) != sum(len(stored.spans) for stored in documents):
            raise BadInput(f"A segment needs every passage's tokens, by one codec; {len(each)} came, by {len(keys)}.")
        key = keys.pop()
        if key not in self._codecs:
            self._codecs[key] = from_bytes(FolderTokens(open_snapshot(self._folder)).codec(key))
        return part_of(self._codecs[key], each)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; says how many there were."""
        with WriterLock(self._folder):
            numbers = open_snapshot(self._folder).numbers_of(ids).values()
            self._write([], numbers)
        return len(numbers)

    def bulk_load(self, documents: Iterable[StoredDocument]) -> int:
        """Fill a collection that is empty, as one segment, or one for each run of tokens of a codec."""
        with WriterLock(self._folder):
            generation = open_snapshot(self._folder).manifest.generation
            if open_snapshot(self._folder).manifest.live_documents:
                raise BadInput(f"{str(self._folder)!r} holds documents already. Name a new folder.")
            for _, run in groupby(documents, key=lambda stored: stored.tokens[0].codec if stored.tokens else ""):
                generation = self._write(list(run), ())
            return generation

    def publish(self, name: str) -> int:
        """Not for a folder: whoever opens a path opens that folder."""
        raise BadInput(f"{str(self._folder)!r} is a folder, which has no other name. Use retr reindex, or rename it.")

    def drop(self) -> None:
        """Not for a folder, which is removed as folders are."""
        raise BadInput(f"{str(self._folder)!r} is a folder. Remove it as any other.")

    def check(self) -> tuple[list[str], list[str]]:
        """What was checked and is sound, and what is not."""
        found = check_folder(self._folder, load=None)
        return found.checked, found.problems
