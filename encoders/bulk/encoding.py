"""Records to a folder of vectors, shard by shard; what is finished stays finished, whatever stops the run."""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from retr.encoders.bulk.folder import (
    Manifest,
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
from retr.encoders.bulk.working import Described, Form, Here, Step, Task, Workers
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
    kind = type(encoder)
    called = name or f"{kind.__module__}:{kind.__qualname__}"
    return encode_with(Here(encoder), records, folder, name=called, settings=settings, watch=watch)


def encode_with(
    workers: Workers,
    records: Iterable[Record],
    folder: str | Path,
    *,
    name: str,
    settings: BulkSettings | None = None,
    watch: Watch = in_silence,
) -> BulkReport:
    """As `encode_records`, by whatever workers: the folder they leave is the same, byte for byte."""
    folder, settings = Path(folder), settings or BulkSettings()
    asked = _asked(workers.encoder, name, settings)
    check_free(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        found = replace(prepare(folder, asked), encoder=asked.encoder)
        with IdsWriter(folder, texts=settings.keep_texts) as ids:
            run = _Run(workers, folder, found, settings, ids, watch)
            run.over(records)
            done = run.manifest(ids.finish())
        write_manifest(folder, done)
        remove_others(folder, done)
    return run.report


def _asked(encoder: Described, name: str, settings: BulkSettings) -> Manifest:
    dim = settings.dim or encoder.dim
    if dim > encoder.dim:
        raise BadInput(f"dim {dim} is more than the encoder's {encoder.dim}. Give at most {encoder.dim}.")
    return Manifest(
        encoder=name,
        fingerprint=encoder.fingerprint,
        similarity=encoder.similarity,
        side=settings.side,
        dtype=settings.dtype,
        dim=dim,
        shard_texts=settings.shard_texts,
    )


class _Run:
    """One run over all records, under the folder's lock."""

    def __init__(
        self, workers: Workers, folder: Path, found: Manifest, settings: BulkSettings, ids: IdsWriter, watch: Watch
    ) -> None:
        self._workers, self._folder, self._found, self._settings = workers, folder, found, settings
        self._ids, self._watch = ids, watch
        self._listed = {shard.key: shard for shard in found.shards}
        self._shards: list[ShardFacts] = []
        self.report = BulkReport()

    def over(self, records: Iterable[Record]) -> None:
        """Encode what is not there yet."""
        found, settings = self._found, self._settings
        form = Form(settings.side, found.dtype, found.dim, found.similarity, settings.window)
        tasks = map(self._task, cut_shards(records, identity_of(self._workers.encoder, settings), settings))
        with closing(self._workers.steps(tasks, self._folder, form)) as steps:
            for step in steps:
                self._take(step)
                self._watch(self.report)

    def manifest(self, ids: str) -> Manifest:
        """The folder's manifest once all is there."""
        return replace(self._found, complete=True, texts=self.report.texts, ids=ids, shards=tuple(self._shards))

    def _task(self, shard: Shard) -> Task:
        return Task(shard, self._known(shard))

    def _known(self, shard: Shard) -> ShardFacts | None:
        """The shard's facts when its file is there, whole and as it was written; None when it is to be encoded."""
        path = shard_path(self._folder, shard.key)
        if not is_whole(path, (len(shard), self._found.dim), self._found.dtype):
            return None
        facts = ShardFacts(shard.key, len(shard), path.stat().st_size, sha256_of(path))
        return facts if self._listed.get(shard.key, facts) == facts else None

    def _take(self, step: Step) -> None:
        report, shard = self.report, step.task.shard
        report.encoded += step.encoded
        report.tokens = _sum(report.tokens, step.tokens)
        report.cut = _sum(report.cut, step.cut)
        if step.facts is None:
            return
        if step.task.known is not None:
            report.reused += len(shard)
            report.shards_reused += 1
        self._ids.add(shard.records)
        self._shards.append(step.facts)
        report.shards += 1
        report.texts += len(shard)


def _sum(total: int | None, more: int | None) -> int | None:
    """None as soon as one of them is not known."""
    return None if total is None or more is None else total + more
