"""What to look for when deleted documents must be in no file: pieces of them that stand in no living document."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.settings import Storage
from retr.index.dense.storage import CODECS
from retr.index.disk.leases import Lease
from retr.index.disk.manifest import generations_in, manifest_name, read_manifest
from retr.index.disk.segments import CONTENT, OpenSegment, document_schema
from retr.index.erasing.needles import LONGEST, Bytes, Needles, joined, searchable
from retr.index.erasing.remnants import lexical_folders, terms_in, unused_terms
from retr.index.erasing.tokens import TokenPiece, token_pieces
from retr.index.lexical.postings import analyzer
from retr.index.snapshot import Snapshot
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, RetrError

_HASHES = ["text_hash", "record_hash"]
_VECTOR_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How much is looked for: deleted documents (a seeded sample where there are more), pieces of each of their fields
    and bytes in a piece, passages whose vectors are taken, and words."""

    documents: int = 2000
    pieces: int = 4
    piece_bytes: int = 32
    vectors: int = 2
    words: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to look for: `kind` says what it is of the document `id`."""

    kind: str
    id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Probes:
    """All that is looked for. `gone` are the ids that no living document has; `terms` are words as they are indexed."""

    documents: int
    sampled: int
    gone: frozenset[str]
    strings: tuple[Probe, ...]
    terms: tuple[Probe, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many there are of each kind."""
        return dict(Counter(probe.kind for probe in (*self.strings, *self.terms)))


@dataclass(frozen=True, slots=True, eq=False)
class _Gone:
    """A document that is in a file and lives no more: its number in a segment, and its row as it is stored."""

    segment: OpenSegment
    number: int
    id: str


def probes_of(snapshot: Snapshot, settings: ProbeSettings | None = None) -> Probes:
    """Probes of every document that lies in a kept generation and lives no more, older versions of living ones too.

    A piece that also stands in a living document, or in a manifest, would prove nothing and is left out.
    """
    chosen = settings or ProbeSettings()
    segments, leases = _kept_segments(snapshot)
    living = {
        known
        for segment in snapshot.segments
        for number, known in enumerate(_recorded(segment), start=segment.facts.first_document)
        if snapshot.live[number]
    }
    gone = {
        (id, record): _Gone(segment, number, id)
        for segment in segments
        for number, (id, record) in enumerate(_recorded(segment))
        if (id, record) not in living
    }
    picked = np.random.default_rng(chosen.seed).permutation(len(gone))[: chosen.documents]
    every = list(gone.values())
    sample = [every[place] for place in np.sort(picked).tolist()]
    rows = list(_rows(sample))
    strings = _not_living(snapshot, [probe for one in rows for probe in _pieces(one, chosen)])
    vectors = _foreign_vectors(snapshot, list(_vectors(sample, chosen)))
    tokens = token_pieces(snapshot, [(one.segment, one.segment.rows_of(one.number)[0], one.id) for one in sample])
    del leases
    return Probes(
        documents=len(gone),
        sampled=len(sample),
        gone=frozenset(id for id, _ in gone) - {id for id, _ in living},
        strings=(*_thinned(strings, chosen.pieces), *vectors, *map(_probe_of, tokens)),
        terms=tuple(_words(snapshot, rows, chosen)),
    )


def _probe_of(piece: TokenPiece) -> Probe:
    return Probe("token" if piece.own else "token as another codec", piece.id, piece.data)


def _kept_segments(snapshot: Snapshot) -> tuple[list[OpenSegment], list[Lease]]:
    """The segments of all generations in the folder, held while the leases live."""
    folder, segments, leases = snapshot.folder, list(snapshot.segments), []
    known = {segment.facts.name for segment in segments}
    for generation in generations_in(folder):
        with suppress(RetrError, FileNotFoundError):  # A writer may clear it away meanwhile.
            leases.append(Lease(folder / manifest_name(generation)))
            manifest = read_manifest(folder, manifest_name(generation))
            for facts in manifest.segments:
                if facts.name not in known:
                    segments.append(OpenSegment(folder, facts, manifest.dim))
                    known.add(facts.name)
    return segments, leases


def _recorded(segment: OpenSegment) -> Iterator[tuple[str, bytes]]:
    """(id, record hash) of every document, dead ones too, in order."""
    for table in segment.tables():
        yield from zip(table.column("id").to_pylist(), table.column("record_hash").to_pylist(), strict=True)


def _rows(sample: Sequence[_Gone]) -> Iterator[dict[str, Any]]:
    """The documents' rows as they are stored."""
    for segment in dict.fromkeys(one.segment for one in sample):
        wanted = np.array([one.number for one in sample if one.segment is segment], np.int64)
        start = 0
        for table in segment.tables():
            here = wanted[(wanted >= start) & (wanted < start + table.num_rows)] - start
            yield from table.take(here).to_pylist()
            start += table.num_rows


def _pieces(row: Mapping[str, Any], settings: ProbeSettings) -> Iterator[Probe]:
    """More than are needed, since some may stand in living documents too."""
    for name in CONTENT:
        data, size = row[name].encode(), settings.piece_bytes
        starts = np.unique(np.linspace(0, max(len(data) - size, 0), 3 * settings.pieces).astype(np.int64))
        for start in starts.tolist():
            if searchable(data[start : start + size]):
                yield Probe(name, row["id"], data[start : start + size])
    for name in _HASHES:
        yield Probe(name, row["id"], row[name])


def _thinned(probes: Sequence[Probe], pieces: int) -> Iterator[Probe]:
    """At most so many of a document's field, spread over it."""
    groups: dict[tuple[str, str], list[Probe]] = {}
    for probe in probes:
        groups.setdefault((probe.kind, probe.id), []).append(probe)
    for group in groups.values():
        places = np.unique(np.linspace(0, len(group) - 1, pieces).astype(np.int64))
        yield from (group[place] for place in places.tolist())


def _not_living(snapshot: Snapshot, probes: Sequence[Probe]) -> list[Probe]:
    needles = Needles([probe.data for probe in probes])
    found = needles.found_in(_neutral(snapshot.folder))
    for segment in snapshot.segments:
        start = segment.facts.first_document
        for table in segment.tables():
            living = snapshot.live[start : start + table.num_rows]
            start += table.num_rows
            for column in table.filter(living).columns:
                values = column.to_pylist()
                found |= needles.found_in(
                    joined(value.encode() if isinstance(value, str) else value for value in values)
                )
    return [probe for probe, one in zip(probes, found, strict=True) if not one]


def _neutral(folder: Path) -> Bytes:
    """What stands in every index folder and tells nothing of documents: names of files, fields and settings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    empty = pa.BufferOutputStream()
    pq.write_table(document_schema().empty_table(), empty)
    paths = [path for path in folder.rglob("*.json") if path.is_file()]
    return joined([*(path.read_bytes() for path in paths), empty.getvalue().to_pybytes()])


def _vectors(sample: Sequence[_Gone], settings: ProbeSettings) -> Iterator[tuple[Storage, Probe]]:
    """A deleted document's vectors as each storage has them: compaction may change how they are stored."""
    for one in sample:
        if one.segment.dense is None:
            return
        start, end = one.segment.rows_of(one.number)
        vectors = one.segment.dense.vectors(np.arange(start, min(end, start + settings.vectors)))
        own = one.segment.facts.dense.get("storage", "float32")
        for storage in CODECS:
            for code in _codes(storage, vectors):
                data = code.tobytes()[:LONGEST]
                if searchable(data):
                    yield storage, Probe("vector" if storage == own else f"vector as {storage}", one.id, data)


def _codes(storage: Storage, vectors: Floats) -> NDArray[Any]:
    with suppress(BadInput):  # Numbers too large for float16 are not stored so.
        return CODECS[storage].encode(vectors)[0]
    return np.empty((0, 0), np.uint8)


def _foreign_vectors(snapshot: Snapshot, probes: Sequence[tuple[Storage, Probe]]) -> list[Probe]:
    """Those that no living passage has, in the same storage."""
    kept: list[Probe] = []
    for storage in CODECS:
        ours = [probe for one, probe in probes if one == storage]
        needles = Needles([probe.data for probe in ours])
        found = np.zeros(len(needles), np.bool_)
        for vectors in _living_vectors(snapshot) if ours else ():
            codes = np.ascontiguousarray(_codes(storage, vectors))
            found |= needles.found_in(codes.reshape(-1).view(np.uint8))
        kept += [probe for probe, one in zip(ours, found, strict=True) if not one]
    return kept


def _living_vectors(snapshot: Snapshot) -> Iterator[Floats]:
    for segment in snapshot.segments:
        if segment.dense is None:
            continue
        living, start = snapshot.live[segment.document_of + segment.facts.first_document], 0
        for block in segment.dense.blocks(_VECTOR_ROWS):
            yield block[living[start : start + len(block)]]
            start += len(block)


def _words(snapshot: Snapshot, rows: Sequence[Mapping[str, Any]], settings: ProbeSettings) -> Iterator[Probe]:
    """Words in the dictionaries that no living passage has; long ones first, as they are the rarest."""
    manifest = snapshot.manifest
    if not manifest.lexical_folder:
        return
    analyze = analyzer(str(manifest.settings["language"])).analyze
    unused = unused_terms(snapshot.folder / manifest.lexical_folder)
    owners: dict[str, str] = {}
    for row in rows:
        terms = sorted(set(analyze(f"{row['title']} {row['text'][:20_000]}")), key=lambda term: (-len(term), term))
        for term in unused(terms[: 5 * settings.words])[: settings.words]:
            owners.setdefault(term, row["id"])
    standing = np.zeros(len(owners), np.bool_)
    for folder in lexical_folders(snapshot.folder):
        standing |= np.array(terms_in(folder, list(owners)), np.bool_)
    for (term, id), there in zip(owners.items(), standing, strict=True):
        if there:
            yield Probe("word", id, term.encode())
