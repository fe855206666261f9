"""Records to a folder of vectors, shard by shard; what is finished stays finished, whatever stops the run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from retr.encoders.bulk.folder import (
    Manifest,
    Rows,
    ShardFacts,
    check_free,
    is_whole,
    locked,
    prepare,
    remove_others,
    shard_path,
    write_manifest,
)
from retr.encoders.bulk.ids import IdsWriter
from retr.encoders.bulk.settings import BulkSettings
from retr.encoders.bulk.sharding import Record, Shard, cut_shards, identity_of
from retr.encoders.bulk.writing import ShardWriter
from retr.encoders.running.pipeline import Encoded, Window, encode_windows, windows
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder
from retr.retrieval.stamps import sha256_of


@dataclass(slots=True)
class BulkReport:
    """How far a run is. `texts` are those in finished shards, `reused` those of them that an earlier run encoded.

    `encoded` counts texts that went through the encoder, `tokens` what it read of them, and `cut` those of which it
    did not read the end; both None where the encoder does not say.
    """

    texts: int = 0
    encoded: int = 0
    reused: int = 0
    shards: int = 0
    shards_reused: int = 0
    tokens: int | None = 0
    cut: int | None = 0


Watch = Callable[[BulkReport], None]


TINY = 1e-12


@dataclass(frozen=True, slots=True)
class _Part:
    """Some texts of a shard: `last` when they are its end, `known` when its file is there already."""

    shard: Shard
    last: bool
    known: ShardFacts | None = None


def in_silence(report: BulkReport) -> None:
    """Tell nobody."""


def encode_records(
    encoder: Encoder,
    records: Iterable[Record],
    folder: str | Path,
    *,
    name: str = "",
    settings: BulkSettings | None = None,
    watch: Watch = in_silence,
) -> BulkReport:
    """Encode records of any number into a folder of vectors, with their ids in the same order.

    Shards that an earlier run finished, also over other or fewer records, are taken as they are. Mismatch when the
    folder holds vectors of another encoder or form. `name` is how the encoder is called in the folder; `watch` is told
    how the run goes.
    """
    folder, settings = Path(folder), settings or BulkSettings()
    asked = _asked(encoder, name, settings)
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        found = replace(prepare(folder, asked), encoder=asked.encoder)
        with IdsWriter(folder, texts=settings.keep_texts) as ids:
            job = _Job(encoder, folder, found, settings, ids, watch)
            job.run(records)
            done = job.manifest(ids.finish())
        write_manifest(folder, done)
        remove_others(folder, done)
    return job.report


def _asked(encoder: Encoder, name: str, settings: BulkSettings) -> Manifest:
    dim = settings.dim or encoder.dim
    if dim > encoder.dim:
        raise BadInput(f"dim {dim} is more than the encoder's {encoder.dim}. Give at most {encoder.dim}.")
    kind = type(encoder)
    return Manifest(
        encoder=name or f"{kind.__module__}:{kind.__qualname__}",
        fingerprint=encoder.fingerprint,
        similarity=encoder.similarity,
        side=settings.side,
        dtype=settings.dtype,
        dim=dim,
        shard_texts=settings.shard_texts,
    )


class _Job:
    """One run over all records, under the folder's lock."""

    def __init__(
        self, encoder: Encoder, folder: Path, found: Manifest, settings: BulkSettings, ids: IdsWriter, watch: Watch
    ) -> None:
        self._encoder, self._folder, self._found, self._settings = encoder, folder, found, settings
        self._ids, self._watch = ids, watch
        self._listed = {shard.key: shard for shard in found.shards}
        self._shards: list[ShardFacts] = []
        self._writer: ShardWriter | None = None
        self.report = BulkReport()

    def run(self, records: Iterable[Record]) -> None:
        """Encode what is not there yet. Reading, encoding and writing go on side by side."""
        with closing(encode_windows(self._encoder, self._windows(records), side=self._settings.side)) as encoded:
            try:
                for one in encoded:
                    self._take(one)
                    self._watch(self.report)
            finally:
                if self._writer is not None:
                    self._writer.drop()

    def manifest(self, ids: str) -> Manifest:
        """The folder's manifest once all is there."""
        return replace(self._found, complete=True, texts=self.report.texts, ids=ids, shards=tuple(self._shards))

    def _windows(self, records: Iterable[Record]) -> Iterator[Window[_Part]]:
        identity = identity_of(self._encoder, self._settings)
        for shard in cut_shards(records, identity, self._settings):
            known = self._known(shard)
            if known is not None:
                yield Window(_Part(shard, True, known), ())
                continue
            left = len(shard)
            for texts in windows((record.text for record in shard.records), self._settings.window):
                left -= len(texts)
                yield Window(_Part(shard, left == 0), texts)

    def _known(self, shard: Shard) -> ShardFacts | None:
        """The shard's facts when its file is there, whole and as it was written; None when it is to be encoded."""
        path = shard_path(self._folder, shard.key)
        if not is_whole(path, (len(shard), self._found.dim), self._found.dtype):
            return None
        facts = ShardFacts(shard.key, len(shard), path.stat().st_size, sha256_of(path))
        return facts if self._listed.get(shard.key, facts) == facts else None

    def _take(self, one: Encoded[_Part]) -> None:
        part, report = one.tag, self.report
        facts = part.known
        if facts is None:
            self._write(one.vectors, part.shard)
            report.encoded += len(one.vectors)
            report.tokens = _sum(report.tokens, one.tokens)
            report.cut = _sum(report.cut, one.cut)
            if not part.last:
                return
            facts = self._finish()
        else:
            report.reused += len(part.shard)
            report.shards_reused += 1
        self._ids.add(part.shard.records)
        self._shards.append(facts)
        report.shards += 1
        report.texts += len(part.shard)

    def _write(self, vectors: Vectors, shard: Shard) -> None:
        if self._writer is None:
            shape = (len(shard), self._found.dim)
            self._writer = ShardWriter(self._folder, shard.key, shape, self._found.dtype)
        self._writer.add(self._stored(vectors, shard.records[self._writer.rows :]))

    def _finish(self) -> ShardFacts:
        assert self._writer is not None
        facts = self._writer.finish()
        self._writer = None
        return facts

    def _stored(self, vectors: Vectors, records: Sequence[Record]) -> Rows:
        """Vectors as the folder holds them: cut to its dim, of its dtype, finite."""
        values = vectors.values[:, : self._found.dim]
        if self._found.dim < vectors.dim and self._found.similarity == "cosine":
            values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), TINY)
        with np.errstate(over="ignore"):
            rows: Rows = np.ascontiguousarray(values, self._found.dtype)
        whole = np.isfinite(rows).all(axis=1)
        if not whole.all():
            row = int(np.argmin(whole))
            reason = "holds NaN or infinite numbers. Check the encoder and the text"
            if np.isfinite(vectors.values[row]).all():
                reason = f"has numbers too large for {self._found.dtype}. Give --dtype float32"
            raise BadInput(f"The vector of {records[row].id!r} {reason}.")
        return rows


def _sum(total: int | None, more: int | None) -> int | None:
    """None as soon as one of them is not known."""
    return None if total is None or more is None else total + more
